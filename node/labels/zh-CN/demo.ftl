# 演示：在一台机器上的整个联盟。

demo-name-city = 清河市
demo-name-district-1 = 东城区
demo-name-district-2 = 西城区
demo-name-school-1 = 第一中学
demo-name-school-2 = 第二中学
demo-name-school-3 = 第三中学
demo-name-school-4 = 第四中学
demo-name-laptop = 第三中学营地电脑

# 各章：标题，以及一句说明。
demo-chapter = { $number }/{ $of }  { $title }
demo-found = 组建联盟
demo-found-says = 市级建立根；区、学校和一台笔记本电脑凭一次性邀请码加入。每个节点都是独立进程，每条线路都是 QUIC，双方密钥都经过验证。
demo-import = 学校导入手头的材料
demo-import-says = 工作簿、GB18030 表格、JSON 行和 csv；各校存入自己的库，不必等网络。
demo-arrive = 全部到达市级
demo-arrive-says = 带签名的条目逐级上行，市级的回执下行；摘要相同即内容相同。
demo-cut = 一所学校断线
demo-cut-says = 三中的线路中断，服务器又突然停电。重新开机后没有网络，照常录入。
demo-merge = 两人分头修改同一条记录
demo-merge-says = 笔记本电脑在营地，没有任何线路；它和学校服务器改了同一条记录，现在回校合并。
demo-mend = 线路恢复
demo-mend-says = 三中补发断线期间的内容，包括笔记本电脑的修改，不重发其他内容。
demo-result = 各级持有情况

# 发生了什么，每事一行。
demo-event-founded = { $unit }是根：{ $root }
demo-event-joined = { $unit }加入{ $parent }
demo-event-linked = { $nodes } 个节点、{ $links } 条线路，全部一致
demo-event-imported = { $unit }：{ $file }（{ $encoding }）：{ $new } 条记录，用时 { $time }
demo-event-again = { $unit }：同一文件再导入一次：没有新增，没有改动
demo-event-refused = { $unit }：有错误的文件整份拒收：{ $said }
demo-event-arrived = 市级已持有 { $records } 条记录，距首次导入开始 { $time }
demo-event-receipt = { $unit }已得到 { $issuers } 的签名回执：全部收到
demo-event-left = { $unit }的笔记本电脑合上，带去营地
demo-event-cut = { $unit }的线路中断
demo-event-killed = { $unit }停电：进程被强行终止，随后重新启动
demo-event-survived = { $unit }重启后，已确认的 { $records } 条记录一条不少
demo-event-edited = { $unit }修改 { $change }
demo-event-status = { $unit }的状态：“{ $said }”
demo-event-why = 原因：{ $why }
demo-event-unmoved = 市级仍持有{ $unit }的 { $records } 条记录，照常运行
demo-event-away = 营地的笔记本电脑修改 { $change }
demo-event-home = 笔记本电脑回到学校
demo-event-merged = 笔记本电脑改的 { $field } 和学校改的 { $other } 都保留；{ $both } 的两个值都留着，等人选定：{ $values }
demo-event-mended = { $unit }的线路恢复
demo-event-caught-up = 用时 { $time } 补齐；线路上传输了 { $bytes }
demo-event-everywhere = 学校、笔记本电脑、区、市看到的都是两处修改和同一处待选

demo-edit-project = 河堤植树
demo-edit-venue = 东湖营地
demo-ended-badly = 有节点没有正常结束

# 画面。
demo-column-node = 节点
demo-column-link = 线路
demo-column-records = 记录数
demo-column-district = 区级
demo-column-city = 市级
demo-column-laptop = 笔记本
demo-column-school = 学校
demo-column-waiting = 待发送
demo-column-wire = 线路上行/下行
demo-column-entries = 条目
demo-column-agree = 共同摘要
demo-column-differ = 摘要
demo-all = 合计
demo-away = 外出
demo-starting = 启动中
demo-line-cut = 线路中断

# 结尾。
demo-fine = { $nodes } 个节点，{ $records } 条记录，{ $entries } 个条目；各级摘要全部相同。线路共传输 { $bytes }。全程用时 { $time }。
demo-wrong = 有 { $count } 个单位的内容各级不一致。
demo-kept = 节点目录：{ $homes }   日志：{ $logs }   市级导出的表：{ $table }
demo-serving = 所有节点继续运行。可在另一个终端里试试：
demo-ends = 按 Ctrl-C 结束。

# 演示为何停下。
demo-error-not-a-demo = { $dir } 已存在，且不是演示建立的；没有动它。请用 --dir 另选文件夹。
demo-error-in-use = { $dir } 里正有演示在运行。请先结束它，或用 --dir 另选文件夹。
demo-error-too-long = { $dir }：路径过长，节点的套接字放不下（最多 { $max } 字节）。请用 --dir 选短一些的路径。
demo-error-file = { $path }：{ $why }
demo-error-generate = 示例文件 { $path } 无法生成：{ $why }
demo-error-options = --students 须为 2 至 10000，--per-student 须为 1 至 100。
demo-error-start = “{ $step }”中：{ $node }的进程无法启动：{ $why }
demo-error-wire = “{ $step }”中：通往{ $node }的线路无法建立：{ $why }
demo-error-ended = “{ $step }”中：{ $node }的进程自行结束（{ $why }）。日志：{ $log }
demo-error-command = “{ $step }”中：{ $node }上的 `{ $command }` 失败：{ $why } 日志：{ $log }
demo-error-late = “{ $step }”中：等了 { $time } 仍未完成：{ $missing }。日志：{ $logs }
demo-error-lost = “{ $step }”中：{ $node }与预期不符：{ $what }。日志：{ $logs }
demo-error-interrupted = 已中断，所有节点都已结束。
demo-missing-link = { $node }与所拨节点尚未一致
demo-missing-answer = { $node }没有回答
demo-missing-unit = { $unit }的内容各处尚未一致
demo-missing-off = { $node }还没有发觉线路中断
demo-wrong-count = 有 { $found } 条记录，应为 { $expected } 条
demo-wrong-record = 记录 { $record } 缺少一处修改
