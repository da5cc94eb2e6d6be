# 各命令显示给人看的文字，以及命令行上会遇到的错误。

# 时间与大小。
ago-now = 刚刚
ago-seconds = { $count } 秒前
ago-minutes = { $count } 分钟前
ago-hours = { $count } 小时前
ago-days = { $count } 天前
ago-never = 从未

# 连接状态：每个词都配有符号和颜色。
state-identity = 身份问题
state-off = 未连接
state-full = 磁盘已满
state-failing = 屡次中断
state-connecting = 正在连接
state-comparing = 正在比对
state-sending = 正在发送
state-receiving = 正在接收
state-syncing = 正在同步
state-waiting = 等待回执
state-in-step = 已一致
state-never = 从未同步

# 状态页的首句：一句说上级，一句说下级。
head-top = 本节点没有上级。
head-in-step = 与 { $unit } 一致，本单位的内容对方全部持有。
head-waiting = 已连接 { $unit }，尚有 { $count } 条未得到对方确认。
head-comparing = 正在与 { $unit } 比对。
head-syncing = 正在与 { $unit } 同步：待发送 { $send } 条，待接收 { $receive } 条。
head-off = 与 { $unit } 未连接。本地照常录入；{ $count ->
    [0] 本单位的内容对方已全部持有
   *[other] 有 { $count } 条待发送
}。
head-off-unconfirmed = 与 { $unit } 未连接。本地照常录入；对方尚未确认收到任何内容。
head-never = 至今未连上 { $unit }。本地照常录入，连上后自动发送。
head-identity = { $unit } 与本节点互不认可身份。本地照常录入。
head-failing = 能连上 { $unit }，但交换屡次中断。
head-full = 磁盘已满：腾出空间之前，本节点不再接收任何内容。
head-above = 上级节点
head-below-in-step = 下级 { $total } 个单位全部一致。
head-below-off = 下级 { $total } 个单位中有 { $off } 个未连接。
head-below-busy = 下级 { $total } 个单位中有 { $busy } 个正在同步。
head-backlog = 已存 { $count } 条，正在整理入档。
head-forked = 有日志出现分叉：请看“告警”。

# 状态页的各部分与列名。
status-this = 本节点
status-above = 上级
status-confirmed = 上级回执
status-siblings = 本单位的其他节点
status-below = 下级
status-holdings = 持有的记录
status-alerts = 告警
status-node = 节点
status-root = 联盟根
status-parent-off = 拨向 { $addresses }
status-success = 最近收到 { $when }
status-failure = 最近失败 { $when }：{ $why }
status-failure-none = 没有失败
status-next = 会自动重拨，最长间隔 30 秒。
status-round-trip = 往返 { $time }
status-clock-ahead = 对方时钟快 { $time }
status-clock-behind = 对方时钟慢 { $time }
status-to-send = 待发送
status-to-receive = 待接收
status-exchanged = 已发送 { $sent } 条（{ $sent-bytes }），已接收 { $received } 条（{ $received-bytes }）
status-confirmed-none = 上级还没有给出回执。
status-holdings-none = 还没有。
status-below-none = 还没有下级单位加入。
status-unprojected = 已存、尚未入档
status-unprojected-dossiers = 本节点无法入档的档案
status-quarantined = 另行搁置的部分
column-unit = 单位
column-tier = 层级
column-name = 名称
column-state = 状态
column-heard = 最近收到
column-records = 记录数
column-digest = 摘要
column-period = 学期
column-who = 谁
column-since = 确认于
column-behind = 落后
column-held = 持有情况
column-node = 节点
held-all = 本单位全部内容
held-part = 除最后 { $count } 条外的全部内容
period-none = （不分学期）

# 遇到告警怎么办。
do-session-closed = 若反复出现，请核对两个节点的证书和时钟，并各运行一次 `sanji doctor`。
do-forked = 同一节点有两个副本在写。请停用副本；在本单位裁定之前，该日志不再接收新内容。
do-rolled-back = 存储是从备份恢复的。丢失的内容会从上级取回，新记录照常录入。
do-rejected = 对方节点持有本节点不接收的内容；请在对方运行 `sanji doctor`。
do-disk-full = 请在节点目录所在的磁盘上腾出空间，无须其他操作。
do-other = 请运行 `sanji doctor`。

# 各命令的答复。
created-home = { $unit } 的节点目录：{ $home }。
created-root = 联盟根指纹：{ $root }
created-next = 下一步：sanji --home { $home } serve
imported-done = { $file }：读取 { $rows } 行；新增 { $new } 条，已有 { $known } 条，写入 { $entries } 个条目。
imported-nothing = { $file }：读取 { $rows } 行；全部已经录入过，没有任何改动。
imported-dry = { $file }：读取 { $rows } 行，全部正确；没有存入（仅检查）。
imported-encoding = 按 { $encoding } 读取。
import-refused = { $file } 未导入：有 { $errors } 处错误。没有存入任何内容。
edited-done = 记录 { $record } 已修改。
records-none = 本节点没有这名学生的记录。
records-line = { $kind }  { $unit }，{ $period }
records-edited = （已修改）
records-conflict = { $field }：{ $values }（分头修改，两者都保留；请用 `sanji edit` 选定）
records-nothing = （已清空）
records-unknown-kind = （未知类别）
log-forked = 在第 { $seq } 条分叉
log-none = 本节点还没有日志。
column-log = 日志
column-author = 作者
column-entry = 序号
column-when = 时间
column-parts = 部分
column-bytes = 字节
column-hash = 哈希
reach-own = 仅本单位
reach-up = 上至 { $tier }
reach-below = 下达全体
reach-to = 送达 { $unit }
exported-done = 已写出 { $rows } 条记录：{ $file }。
examined-counts = 读回 { $logs } 个日志的 { $entries } 个条目，核对了签名、哈希和次序。
examined-certificate = 证书还有 { $days } 天有效。
repair-done = 损坏的存储已移到 { $aside }，并建立了新的存储。启动节点后，上级节点会把数据补回；从未离开本节点的内容只在旧存储里。
repair-fine = 没有发现问题，未作任何更改。
examined-fine = 没有发现问题。
examined-error = 错误
examined-warning = 提醒
finding-missing-entry = 存储中缺少条目：{ $detail }。
finding-damaged-entry = 存储中有条目损坏：{ $detail }。
finding-broken-chain = 有条目与前一条不衔接：{ $detail }。
finding-certificate-ends = 本节点的证书将在 { $days } 天后到期。
finding-quarantined = 有内容无法入档，已另行搁置：{ $detail }。
finding-other = { $detail }
remedy-missing-entry = 请停止节点并恢复最近的备份，或重新加入后从上级取回。
remedy-damaged-entry = 请停止节点并恢复最近的备份，或重新加入后从上级取回。
remedy-broken-chain = 请上报：存储被外部改动过。
remedy-certificate-ends = 请向上级单位申请新证书。
remedy-quarantined = `sanji status` 会显示是谁写的。
remedy-other = { $detail }
doctor-found = 本节点有问题，见上文。

# 命令行上的错误。
error-home-missing = { $dir } 不是节点目录。请用 `sanji init`（新建联盟）或 `sanji join 邀请码` 创建。
error-home-exists = { $dir } 已经是节点目录，请换一个文件夹。
error-home-in-use = { $dir } 正被另一个 sanji 进程使用。
error-home-exposed = { $path } 可被他人读取，请对它执行 `chmod 600`。
error-tier-unknown = 层级 { $tier } 不在层级列表中。
error-name = 名称须为 1 至 80 字节，不含控制字符。
error-address = 请给出 --address 主机:端口，即新节点连接本节点的地址。
error-set = 请以“字段=值”的形式给出修改。
error-kind-unknown = 本程序不带类别 { $kind }；自带的有：{ $known }。
error-no-address = 邀请码中没有可用的地址。
error-token = 这不是邀请码；邀请码以 sanji1. 开头，只有一行。
error-unreached = 连不上发出邀请的节点：{ $why }
