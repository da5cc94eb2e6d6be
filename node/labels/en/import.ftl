# Why a file as a whole cannot be imported. $file is its name.
refusal-not-found = { $file }: there is no such file.
refusal-not-a-file = { $file }: this is a folder or a device, not a file.
refusal-unreadable = { $file }: the file cannot be read ({ $detail }).
refusal-empty = { $file }: the file is empty.
refusal-too-large = { $file }: the file has { $size } MB; { $max } MB are allowed. Split it, for example by grade.
refusal-unknown-format = { $file }: the name must end in .xlsx, .csv or .jsonl.
refusal-not-a-workbook = { $file }: the name says workbook, the content is something else. Open it and save it as "Excel Workbook (.xlsx)".
refusal-encrypted = { $file }: the workbook has a password. Save a copy without one.
refusal-old-workbook = { $file }: the workbook is of the format before 2007 (.xls). Save it as "Excel Workbook (.xlsx)".
refusal-broken-workbook = { $file }: the workbook is damaged ({ $detail }). Open it and save it again.
refusal-bomb-entries = { $file }: the workbook has more than { $max } parts inside, which no spreadsheet program writes.
refusal-bomb-unpacked = { $file }: the workbook unfolds to more than { $max } MB.
refusal-bomb-ratio = { $file }: a part of the workbook unfolds to more than { $max } times its size, which no spreadsheet program writes.
refusal-bomb-overlap = { $file }: parts of the workbook lie upon each other, which no spreadsheet program writes.
refusal-bomb-size = { $file }: a part of the workbook has another size than its directory states.
refusal-bomb-content = { $file }: the workbook holds a text, table or style larger than a spreadsheet program allows.
refusal-not-text = { $file }: line { $row } is neither UTF-8 nor GB18030 text. Save the file as "CSV UTF-8".
refusal-too-many-rows = { $file }: the file has more than { $max } rows. Split it.
refusal-too-many-columns = { $file }: row { $row } has more than { $max } columns.
refusal-too-many-cells = { $file }: the file has more than { $max } cells. Split it.
refusal-cell-too-long = { $file }: the cell in row { $row }, column { $column } is longer than a spreadsheet allows. Most often a quotation mark is missing.
refusal-no-header = { $file }: none of the first rows names the columns of "{ $kind }". Expected: { $expected }. (Read as { $encoding }.)

# Where a problem stands.
place-file = { $file }
place-column = { $file }, column "{ $column }"
place-row = { $file }, row { $row }
place-cell = { $file }, row { $row }, column "{ $column }"
problem-line = { $place }: { $message }
warning-line = { $place }: warning: { $message }
problems-more = { $count ->
    [one] One more problem is not shown.
   *[other] { $count } more problems are not shown.
}

# What is wrong with the columns.
unknown-column = This column is not part of "{ $kind }" and is not imported.
duplicate-column = This column stands twice, first as column { $other }.
missing-column = The required column "{ $name }" is missing.
missing-half = The column "{ $name }" is missing; a time needs its start and its end.
beyond-header = There are values here in a column without a heading; they are not imported.
other-sheets = Only the sheet "{ $sheet }" was read. Not read: { $others }.
no-rows = There is no row below the headings.

# What is wrong with a row.
row-not-json = The line is not valid JSON.
row-not-an-object = The line is not a JSON object.
row-duplicate-name = The name "{ $name }" stands twice in the line.
row-too-long = The line is longer than { $max } kB.
duplicate-row = This row says the same as row { $other }. Both are imported; delete one if it is a mistake.

# What is wrong with a cell. $value is what stands there.
cell-formula = The cell holds a formula. Copy the column and paste it as values.
cell-fault = The cell holds the error { $value }.
cell-number-id = The cell holds a number, which loses digits and leading zeros. Format the column as text and enter the identifier again.
cell-long-number = The number has more than 15 digits, of which a spreadsheet loses the last. Format the column as text and enter it again.
cell-number-date = The cell holds the number { $value } instead of a date. Format the column as a date.
cell-nested = The value is an object or a nested list; a text is expected.
field-required = A value is required.
field-too-long = "{ $value }" is longer than { $max } characters.
field-control-character = "{ $value }" holds a character that cannot be printed.
field-not-a-number = "{ $value }" is not a number.
field-not-whole-minutes = "{ $value }" is not a whole number of minutes, where 1 stands for { $minutes } minutes.
field-too-precise = "{ $value }" has more decimal places than the { $scale } that are kept.
field-out-of-range = "{ $value }" is not between { $min } and { $max }.
field-below-range = "{ $value }" is less than { $min }.
field-above-range = "{ $value }" is more than { $max }.
field-not-a-bool = "{ $value }" is neither yes nor no.
field-not-a-date = "{ $value }" is not a date such as 2026-09-01.
field-not-a-datetime = "{ $value }" is not a date and time such as 2026-09-01 14:30.
field-not-an-interval = "{ $value }" is not a start and an end such as 2026-09-01 14:30 and 2026-09-01 16:00.
field-ends-before-start = The end is before the start ({ $value }).
field-unknown-code = "{ $value }" is not one of: { $allowed }.
field-not-a-hash = "{ $value }" is not a SHA-256 in hexadecimal digits.
field-too-few-items = There are fewer than { $min } items.
field-too-many-items = There are more than { $max } items.
field-wrong-type = "{ $value }" is a value of another type.
field-not-from-text = This field cannot be imported from a table.
bound-minutes = { $minutes } min
field-other = "{ $value }" is not allowed here.
