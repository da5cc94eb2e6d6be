# 学校填写用的工作簿。
template-help-sheet = 填写说明
template-intro = { $kind }：每行填一条记录，请保留列名。
template-column = 列名
template-meaning = 含义
template-required = 必填
template-form = 填写方式
template-rule = 限制
template-yes = 是
template-no = 否
template-not-allowed = 请从列表中选择一项。
template-range = { $min } 到 { $max }。
template-least = 不小于 { $min }。
template-most = 不大于 { $max }。
template-text-range = 不超过 { $max } 个字。

# 各类字段的填写方式。
form-text = 文字
form-int = 整数
form-decimal = 数字
form-decimal-places = 数字，最多 { $scale } 位小数
form-bool = 是或否
form-date = 日期，如 2026-09-01
form-datetime = 日期和时间，如 2026-09-01 14:30
form-interval = 开始和结束，如 2026-09-01 14:30/2026-09-01 16:00
form-duration = 时长，单位为{ $unit }
form-enum = 以下之一：{ $allowed }
form-id = 编号，按文本填写
form-attachment = 文件的 SHA-256，十六进制
form-contact = 电话或地址
form-list = 可填多项，用“;”分隔：{ $item }
form-struct = 不在表格中填写
unit-minutes = 分钟
unit-of-minutes = { $minutes } 分钟为一个单位

# 无法生成文件的原因。
template-unwritable = 模板无法写出（{ $detail }）。
generate-unwritable = 文件无法写出（{ $detail }）。
generate-no-words = 没有用来生成“{ $kind }”记录的词表。
generate-out-of-bounds = 学校编号为 1 到 999，每校学生 1 到 10000 名，每个文件 1 到 { $max } 条记录。
