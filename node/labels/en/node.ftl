# What commands print for people, and the errors people meet at the command line.

# Times and sizes.
ago-now = just now
ago-seconds = { $count } s ago
ago-minutes = { $count } min ago
ago-hours = { $count } h ago
ago-days = { $count ->
    [one] 1 day ago
   *[other] { $count } days ago
}
ago-never = never

# State of a link: each word stands beside a sign and a colour.
state-identity = identity problem
state-off = not connected
state-full = storage full
state-failing = failing
state-connecting = connecting
state-comparing = comparing
state-sending = sending
state-receiving = receiving
state-syncing = syncing
state-waiting = waiting
state-in-step = in step
state-never = never synced

# The headline of the status: one clause about the node above, one about those below.
head-top = Nothing is above this node.
head-in-step = In step with { $unit }, which holds everything of ours.
head-waiting = Connected to { $unit }, which has not confirmed { $count ->
    [one] 1 entry
   *[other] { $count } entries
} of ours yet.
head-comparing = Comparing with { $unit }.
head-syncing = Exchanging with { $unit }: { $send } to send, { $receive } to receive.
head-off = Not connected to { $unit }. Recording goes on here; { $count ->
    [0] everything of ours is held there
    [one] 1 entry waits to be sent
   *[other] { $count } entries wait to be sent
}.
head-off-unconfirmed = Not connected to { $unit }. Recording goes on here; nothing of ours is confirmed there yet.
head-never = Never connected to { $unit } so far. Recording goes on here and is sent when it is reached.
head-identity = { $unit } and this node do not accept each other's identity. Recording goes on here.
head-failing = { $unit } is reached, but the exchange breaks off.
head-full = The disk is full: nothing more is accepted here until there is room.
head-above = the node above
head-below-in-step = { $total ->
    [one] The one unit below is in step.
   *[other] All { $total } units below are in step.
}
head-below-off = { $off ->
    [one] 1 of { $total } units below is not connected.
   *[other] { $off } of { $total } units below are not connected.
}
head-below-busy = { $busy ->
    [one] 1 of { $total } units below is exchanging.
   *[other] { $busy } of { $total } units below are exchanging.
}
head-backlog = { $count ->
    [one] 1 entry is stored and being worked in.
   *[other] { $count } entries are stored and being worked in.
}
head-forked = A log is forked: see the alerts.

# Sections and columns of the status.
status-this = This node
status-above = Above
status-confirmed = Confirmed from above
status-siblings = Other nodes of this unit
status-below = Below
status-holdings = Records held
status-alerts = Alerts
status-node = node
status-root = federation root
status-parent-off = dials { $addresses }
status-success = last heard { $when }
status-failure = last failure { $when }: { $why }
status-failure-none = no failure
status-next = It is dialled again by itself, at the latest every 30 s.
status-round-trip = round trip { $time }
status-clock-ahead = its clock is { $time } ahead of ours
status-clock-behind = its clock is { $time } behind ours
status-to-send = to send
status-to-receive = to receive
status-exchanged = sent { $sent } ({ $sent-bytes }), received { $received } ({ $received-bytes })
status-confirmed-none = No receipt from above yet.
status-holdings-none = None yet.
status-below-none = No unit has joined below yet.
status-unprojected = Stored, not worked in yet
status-unprojected-dossiers = Dossiers that could not be worked in here
status-quarantined = Parts put aside
column-unit = unit
column-tier = tier
column-name = name
column-state = state
column-heard = last heard
column-records = records
column-digest = digest
column-period = semester
column-who = who
column-since = confirmed
column-behind = behind
column-held = what it holds
column-node = node
held-all = everything of ours
held-part = { $count ->
    [one] all but the last entry
   *[other] all but the last { $count } entries
}
period-none = (no semester)

# What to do about an alert.
do-session-closed = If this goes on, compare the certificates and clocks of both nodes; `sanji doctor` on each.
do-forked = Two copies of one node wrote. Stop the copy; its log takes nothing more until the unit settles it.
do-rolled-back = The store was restored from a backup. What was lost comes back from above; new records go on.
do-rejected = The sender's node holds something this one does not take; run `sanji doctor` there.
do-disk-full = Make room on the disk of the home; nothing else is needed.
do-other = Run `sanji doctor`.

# Answers of commands.
created-home = { $unit } lives in { $home }.
created-root = Federation root: { $root }
created-next = Next: sanji --home { $home } serve
imported-done = { $file }: { $rows ->
    [one] 1 row
   *[other] { $rows } rows
} read; { $new } new, { $known } known already, { $entries ->
    [one] 1 entry
   *[other] { $entries } entries
} written.
imported-nothing = { $file }: { $rows ->
    [one] 1 row
   *[other] { $rows } rows
} read; all are recorded already, nothing was changed.
imported-dry = { $file }: { $rows ->
    [one] 1 row
   *[other] { $rows } rows
} read and found right; nothing was stored (dry run).
imported-encoding = Read as { $encoding }.
import-refused = { $file } was not imported: { $errors ->
    [one] 1 mistake
   *[other] { $errors } mistakes
}. Nothing was stored.
edited-done = Record { $record } changed.
records-none = No records of this student are held here.
records-line = { $kind }  { $unit }, { $period }
records-edited = (edited)
records-conflict = { $field }: { $values } - made apart, both kept; choose one with `sanji edit`
records-nothing = (cleared)
records-unknown-kind = (unknown kind)
log-forked = forked at entry { $seq }
log-none = No logs are held here yet.
column-log = log
column-author = author
column-entry = entry
column-when = when
column-parts = parts
column-bytes = bytes
column-hash = hash
reach-own = own unit only
reach-up = up to { $tier }
reach-below = to all below
reach-to = to { $unit }
exported-done = { $rows ->
    [one] 1 record
   *[other] { $rows } records
} written to { $file }.
examined-counts = { $entries ->
    [one] 1 entry
   *[other] { $entries } entries
} of { $logs ->
    [one] 1 log
   *[other] { $logs } logs
} read back: signatures, hashes and order examined.
examined-certificate = The certificate is valid for { $days ->
    [one] 1 more day
   *[other] { $days } more days
}.
repair-done = The damaged store was moved to { $aside } and a new one begun. Start the node, and the node above fills it again. What never left this node is in the old store only.
repair-fine = Nothing is wrong; nothing was changed.
examined-fine = Nothing is wrong.
examined-error = wrong
examined-warning = notice
finding-missing-entry = An entry is missing in the store: { $detail }.
finding-damaged-entry = An entry in the store is damaged: { $detail }.
finding-broken-chain = An entry does not follow the one before it: { $detail }.
finding-certificate-ends = A certificate of this node ends in { $days } days.
finding-quarantined = Parts were put aside because they could not be worked in: { $detail }.
finding-other = { $detail }
remedy-missing-entry = Stop the node and restore the newest backup, or join again and pull from above.
remedy-damaged-entry = Stop the node and restore the newest backup, or join again and pull from above.
remedy-broken-chain = Report this: the store was changed from outside.
remedy-certificate-ends = Ask the unit above for a new one.
remedy-quarantined = `sanji status` shows whose they are.
remedy-other = { $detail }
doctor-found = Something is wrong with this node; see above.

# Errors at the command line.
error-home-missing = { $dir } is no home of a node. Create one with `sanji init` (a new federation) or `sanji join TOKEN`.
error-home-exists = { $dir } is a home already; choose another folder.
error-home-in-use = { $dir } is in use by another sanji process.
error-home-exposed = { $path } can be read by others; run `chmod 600` on it.
error-tier-unknown = Tier { $tier } is not among the tiers.
error-name = The name must have 1 to 80 bytes and no control characters.
error-address = Give --address HOST:PORT, where the new node reaches this one.
error-set = Give changes as FIELD=VALUE.
error-kind-unknown = No kind { $kind } comes with this program; it brings: { $known }.
error-no-address = The token names no address that can be used.
error-token = This is no invitation token; it begins with sanji1. and is one line.
error-unreached = The inviting node cannot be reached: { $why }
