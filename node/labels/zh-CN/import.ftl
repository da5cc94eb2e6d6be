# 整个文件不能导入的原因。$file 为文件名。
refusal-not-found = { $file }：没有这个文件。
refusal-not-a-file = { $file }：这是文件夹或设备，不是文件。
refusal-unreadable = { $file }：文件无法读取（{ $detail }）。
refusal-empty = { $file }：文件是空的。
refusal-too-large = { $file }：文件有 { $size } MB，最多允许 { $max } MB。请拆分后导入，例如按年级。
refusal-unknown-format = { $file }：文件名须以 .xlsx、.csv 或 .jsonl 结尾。
refusal-not-a-workbook = { $file }：文件名是工作簿，内容却不是。请打开后另存为“Excel 工作簿 (.xlsx)”。
refusal-encrypted = { $file }：工作簿设有密码。请另存一份不带密码的。
refusal-old-workbook = { $file }：这是 2007 年以前的旧格式 (.xls)。请另存为“Excel 工作簿 (.xlsx)”。
refusal-broken-workbook = { $file }：工作簿已损坏（{ $detail }）。请打开后重新保存。
refusal-bomb-entries = { $file }：工作簿内部超过 { $max } 个部件，电子表格软件不会这样写。
refusal-bomb-unpacked = { $file }：工作簿解压后超过 { $max } MB。
refusal-bomb-ratio = { $file }：工作簿中有部件解压后超过原大小的 { $max } 倍，电子表格软件不会这样写。
refusal-bomb-overlap = { $file }：工作簿的部件相互重叠，电子表格软件不会这样写。
refusal-bomb-size = { $file }：工作簿中有部件的大小与目录所写不符。
refusal-bomb-content = { $file }：工作簿中有文字、表格或样式超过电子表格软件的上限。
refusal-not-text = { $file }：第 { $row } 行既不是 UTF-8 也不是 GB18030 文字。请另存为“CSV UTF-8”。
refusal-too-many-rows = { $file }：文件超过 { $max } 行。请拆分后导入。
refusal-too-many-columns = { $file }：第 { $row } 行超过 { $max } 列。
refusal-too-many-cells = { $file }：文件超过 { $max } 个单元格。请拆分后导入。
refusal-cell-too-long = { $file }：第 { $row } 行 { $column } 列的内容超过电子表格的上限，多半是缺了一个引号。
refusal-no-header = { $file }：前几行里没有“{ $kind }”的列名。应有：{ $expected }。（按 { $encoding } 读取。）

# 问题所在的位置。
place-file = { $file }
place-column = { $file }，“{ $column }”列
place-row = { $file }，第 { $row } 行
place-cell = { $file }，第 { $row } 行，“{ $column }”列
problem-line = { $place }：{ $message }
warning-line = { $place }：提醒：{ $message }
problems-more = 另有 { $count } 个问题未列出。

# 列的问题。
unknown-column = “{ $kind }”没有这一列，不会导入。
duplicate-column = 这一列出现两次，前一次是 { $other } 列。
missing-column = 缺少必填的“{ $name }”列。
missing-half = 缺少“{ $name }”列；时间须有开始和结束。
beyond-header = 这里有内容，但所在的列没有列名，不会导入。
other-sheets = 只读取了工作表“{ $sheet }”。未读取：{ $others }。
no-rows = 列名下面没有任何一行。

# 行的问题。
row-not-json = 这一行不是有效的 JSON。
row-not-an-object = 这一行不是 JSON 对象。
row-duplicate-name = 这一行中“{ $name }”出现两次。
row-too-long = 这一行超过 { $max } kB。
duplicate-row = 这一行与第 { $other } 行内容相同。两行都会导入；如属误填，请删去一行。

# 单元格的问题。$value 为其中的内容。
cell-formula = 单元格里是公式。请复制该列，再“选择性粘贴”为数值。
cell-fault = 单元格里是错误值 { $value }。
cell-number-id = 单元格里是数字，会丢失末尾几位和开头的零。请把该列设为文本格式，再重新填写编号。
cell-long-number = 数字超过 15 位，电子表格会丢失最后几位。请把该列设为文本格式，再重新填写。
cell-number-date = 单元格里是数字 { $value }，不是日期。请把该列设为日期格式。
cell-nested = 内容是对象或嵌套的列表，这里应为文字。
field-required = 此项必填。
field-too-long = “{ $value }”超过 { $max } 个字。
field-control-character = “{ $value }”中有不可打印的字符。
field-not-a-number = “{ $value }”不是数字。
field-not-whole-minutes = “{ $value }”换算后不是整分钟，1 表示 { $minutes } 分钟。
field-too-precise = “{ $value }”的小数超过 { $scale } 位。
field-out-of-range = “{ $value }”不在 { $min } 到 { $max } 之间。
field-below-range = “{ $value }”小于 { $min }。
field-above-range = “{ $value }”大于 { $max }。
field-not-a-bool = “{ $value }”不是“是”或“否”。
field-not-a-date = “{ $value }”不是日期，应如 2026-09-01。
field-not-a-datetime = “{ $value }”不是日期和时间，应如 2026-09-01 14:30。
field-not-an-interval = “{ $value }”不是起止时间，应如 2026-09-01 14:30 和 2026-09-01 16:00。
field-ends-before-start = 结束早于开始（{ $value }）。
field-unknown-code = “{ $value }”不在可选范围内：{ $allowed }。
field-not-a-hash = “{ $value }”不是十六进制的 SHA-256。
field-too-few-items = 少于 { $min } 项。
field-too-many-items = 多于 { $max } 项。
field-wrong-type = “{ $value }”的类型不对。
field-not-from-text = 此项不能从表格导入。
bound-minutes = { $minutes } 分钟
field-other = 这里不能填“{ $value }”。
