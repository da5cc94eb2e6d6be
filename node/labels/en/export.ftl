# Columns an export adds to those of the kind, and what a plain value is called in it.
export-record = Record id
export-subject = Belongs to
export-conflicts = Conflicting values
export-yes = yes
export-no = no
export-nothing = (nothing)

# Why nothing could be written.
export-unwritable = The export could not be written ({ $detail }).
