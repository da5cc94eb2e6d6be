# The demo: one federation on one machine.

demo-name-city = Qinghe City
demo-name-district-1 = East District
demo-name-district-2 = West District
demo-name-school-1 = No. 1 Middle School
demo-name-school-2 = No. 2 Middle School
demo-name-school-3 = No. 3 Middle School
demo-name-school-4 = No. 4 Middle School
demo-name-laptop = No. 3 School, camp laptop

# Chapters: a title, and a sentence that says what is seen.
demo-chapter = { $number }/{ $of }  { $title }
demo-found = A federation is founded
demo-found-says = The city makes the root; districts, schools and a laptop join with one-time tokens. Every node is a process of its own, every line is QUIC with both sides' keys proven.
demo-import = The schools import what they have
demo-import-says = A workbook, a GB18030 table, JSON lines and csv; each school into its own store, waiting for no network.
demo-arrive = Everything reaches the city
demo-arrive-says = Entries go up signed, the city's receipts come down; equal digests mean equal contents.
demo-cut = A school is cut off
demo-cut-says = The line of school 3 goes dead and its server loses power in the middle of the day. It starts again without a line and goes on recording.
demo-merge = Two people edit one record apart
demo-merge-says = The laptop was at the camp, without any line. It and the school's server changed the same record; now they meet at the school.
demo-mend = The line is back
demo-mend-says = School 3 sends what was recorded meanwhile, by the laptop too, and nothing else.
demo-result = What every tier holds

# What happened, one line each.
demo-event-founded = { $unit } is the root: { $root }
demo-event-joined = { $unit } joined { $parent }
demo-event-linked = { $nodes } nodes, { $links } links, all in step
demo-event-imported = { $unit }: { $file } ({ $encoding }): { $new ->
    [one] 1 record
   *[other] { $new } records
} in { $time }
demo-event-again = { $unit }: the same file once more: nothing new, nothing changed
demo-event-refused = { $unit }: a file with mistakes is refused as a whole: { $said }
demo-event-arrived = the city holds { $records } records, { $time } after the first import began
demo-event-receipt = { $unit } has it signed by { $issuers } that everything arrived
demo-event-left = the laptop of { $unit } is closed and leaves for the camp
demo-event-cut = the line of { $unit } is dead
demo-event-killed = power cut at { $unit }: its process is killed and started again
demo-event-survived = { $unit } starts with all { $records } records it had acknowledged
demo-event-edited = { $unit } changes { $change }
demo-event-status = status at { $unit }: "{ $said }"
demo-event-why = reason: { $why }
demo-event-unmoved = the city still holds { $records } records of { $unit } and goes on without it
demo-event-away = the laptop, at the camp, changes { $change }
demo-event-home = the laptop is back at the school
demo-event-merged = { $field } of the laptop and { $other } of the school both stand; two values of { $both } are kept for a person to choose: { $values }
demo-event-mended = the line of { $unit } is back
demo-event-caught-up = caught up after { $time }; { $bytes } crossed the line
demo-event-everywhere = both edits and the open choice stand at school, laptop, district and city alike

demo-edit-project = Tree planting on the river bank
demo-edit-venue = Camp at the east lake
demo-ended-badly = a node did not end in order

# The picture.
demo-column-node = node
demo-column-link = link
demo-column-records = records
demo-column-district = at district
demo-column-city = at city
demo-column-laptop = at laptop
demo-column-school = at school
demo-column-waiting = to send
demo-column-wire = up / down the line
demo-column-entries = entries
demo-column-agree = same digest
demo-column-differ = digests
demo-all = all
demo-away = away
demo-starting = starting
demo-line-cut = line dead

# The end.
demo-fine = { $records } records in { $entries } entries on { $nodes } nodes; every digest agrees at every tier. { $bytes } crossed the lines. The whole story took { $time }.
demo-wrong = { $count ->
    [one] 1 unit is not held alike at every tier.
   *[other] { $count } units are not held alike at every tier.
}
demo-kept = Homes: { $homes }   logs: { $logs }   the city's table: { $table }
demo-serving = All nodes keep running. Try in another terminal:
demo-ends = Ctrl-C ends them.

# What stops the demo.
demo-error-not-a-demo = { $dir } exists and was not made by a demo; nothing was touched. Choose another folder with --dir.
demo-error-in-use = A demo is running in { $dir }. End it first, or choose another folder with --dir.
demo-error-too-long = { $dir }: the path is too long for the nodes' sockets ({ $max } bytes). Choose a shorter one with --dir.
demo-error-file = { $path }: { $why }
demo-error-generate = The sample file { $path } could not be made: { $why }
demo-error-options = --students must be 2 to 10000, --per-student 1 to 100.
demo-error-start = In "{ $step }": the process of { $node } could not be started: { $why }
demo-error-wire = In "{ $step }": no line could be laid to { $node }: { $why }
demo-error-ended = In "{ $step }": the process of { $node } ended by itself ({ $why }). Its log: { $log }
demo-error-command = In "{ $step }": `{ $command }` at { $node } failed: { $why } Its log: { $log }
demo-error-late = In "{ $step }": after { $time } still waiting: { $missing }. Logs: { $logs }
demo-error-lost = In "{ $step }": { $node } shows something else than expected: { $what }. Logs: { $logs }
demo-error-interrupted = Interrupted; all nodes were ended.
demo-missing-link = { $node } is not in step with the node it dials
demo-missing-answer = { $node } does not answer
demo-missing-unit = { $unit } is not held alike everywhere
demo-missing-off = { $node } has not noticed that its line is dead
demo-wrong-count = { $found } records instead of { $expected }
demo-wrong-record = record { $record } lacks an edit
