# 导出时在各列之外添加的列，以及“是”与“否”的写法。
export-record = 记录编号
export-subject = 所属
export-conflicts = 有冲突的值
export-yes = 是
export-no = 否
export-nothing = （无）

# 无法写出的原因。
export-unwritable = 导出文件无法写出（{ $detail }）。
