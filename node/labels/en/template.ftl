# The sheets of the workbook a school fills in.
template-help-sheet = How to fill in
template-intro = { $kind }: one record per row; please keep the headings.
template-column = Column
template-meaning = Meaning
template-required = Required
template-form = Form
template-rule = Limit
template-yes = yes
template-no = no
template-not-allowed = Please choose one of the values in the list.
template-range = From { $min } to { $max }.
template-least = At least { $min }.
template-most = At most { $max }.
template-text-range = At most { $max } characters.

# How a field is written.
form-text = text
form-int = whole number
form-decimal = number
form-decimal-places = { $scale ->
    [one] number with at most one decimal place
   *[other] number with at most { $scale } decimal places
}
form-bool = yes or no
form-date = date, as 2026-09-01
form-datetime = date and time, as 2026-09-01 14:30
form-interval = start and end, as 2026-09-01 14:30/2026-09-01 16:00
form-duration = duration in { $unit }
form-enum = one of: { $allowed }
form-id = identifier, as text
form-attachment = SHA-256 of the file, hexadecimal
form-contact = telephone number or address
form-list = several, separated by ";": { $item }
form-struct = not in tables
unit-minutes = minutes
unit-of-minutes = units of { $minutes } minutes

# Why no file could be made.
template-unwritable = The template could not be written ({ $detail }).
generate-unwritable = The file could not be written ({ $detail }).
generate-no-words = There are no words to make records of kind "{ $kind }" from.
generate-out-of-bounds = Schools are numbered 1 to 999, a school has 1 to 10000 students, and a file 1 to { $max } records.
