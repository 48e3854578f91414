//! Every sentence that a user reads: zh-Hans first, English beside it. `{name}` stands for what the caller names.

mod desk;
mod operations;
mod people;
mod system;

use crate::store::{Problem, StoreError};

/// Language of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Simplified Chinese, the default.
    Chinese,
    /// English.
    English,
}

impl Language {
    /// The language that a tag such as `en_GB.UTF-8` or `zh-Hans` asks for; Chinese unless it is English.
    #[must_use]
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_', '.', ';', ',']).next().unwrap_or_default();
        if primary.trim().eq_ignore_ascii_case("en") { Self::English } else { Self::Chinese }
    }

    /// The language that an `Accept-Language` header asks for: the better liked of Chinese and English.
    #[must_use]
    pub fn from_accept(header: &str) -> Self {
        let mut best = (Self::Chinese, 0.0_f32);
        for item in header.split(',').take(20) {
            let mut parts = item.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Ok(1.0), str::parse);
            let known = tag.to_ascii_lowercase();
            if (known.starts_with("zh") || known.starts_with("en")) && weight.as_ref().is_ok_and(|w| *w > best.1) {
                best = (Self::from_tag(tag), weight.unwrap_or_default());
            }
        }
        best.0
    }
}

/// The text of `word` with its `{name}`s filled in; the word itself when the catalogue lacks it.
#[must_use]
pub fn text(language: Language, word: &str, args: &[(&'static str, String)]) -> String {
    let mut all = CATALOGUE.iter().chain(desk::CATALOGUE).chain(operations::CATALOGUE).chain(people::CATALOGUE);
    let Some((_, chinese, english)) = all.find(|(known, ..)| *known == word) else {
        return word.to_owned();
    };
    let mut filled = match language {
        Language::Chinese => (*chinese).to_owned(),
        Language::English => (*english).to_owned(),
    };
    for (name, value) in args {
        filled = filled.replace(&format!("{{{name}}}"), &system::words(language, value));
    }
    filled
}

/// The text of a problem.
#[must_use]
pub fn problem(language: Language, problem: &Problem) -> String {
    let Some(answer) = &problem.answer else { return text(language, problem.word, &problem.args) };
    let reason = answer.text(crate::form_language(language));
    let detail = text(language, "answer", &[("path", answer.path.clone()), ("reason", reason)]);
    text(language, problem.word, &[("detail", detail)])
}

/// The text of any failure of the store, for the person at the command line.
#[must_use]
pub fn failure(language: Language, error: &StoreError) -> String {
    match error {
        StoreError::Problem(inner) => problem(language, inner),
        StoreError::DiskFull { path: None } => text(language, "disk_full", &[]),
        StoreError::DiskFull { path: Some(path) } => {
            text(language, "disk_full_at", &[("path", path.display().to_string())])
        }
        StoreError::Storage(source) => text(language, "storage_failed", &[("detail", source.to_string())]),
        StoreError::NewerSchema { path, found, known } => text(
            language,
            "newer_schema",
            &[("path", path.display().to_string()), ("found", found.to_string()), ("known", known.to_string())],
        ),
        StoreError::Open(inner) => text(language, "wrong_key", &[("detail", inner.to_string())]),
        other => text(language, "failed", &[("detail", other.to_string())]),
    }
}

/// (word, zh-Hans, English).
const CATALOGUE: &[(&str, &str, &str)] = &[
    // Command line: what each command and option is for.
    ("cli", "走访本服务器", "The Fieldbook server"),
    ("cli --data", "数据文件夹", "Data folder"),
    (
        "cli --key-file",
        "数据库密钥文件，默认为数据文件夹中的 key",
        "Key file of the database; by default `key` in the data folder",
    ),
    (
        "cli --database",
        "PostgreSQL 数据库地址（postgres://…），默认用数据文件夹中的内置数据库；也可写入环境变量 FIELDBOOK_DATABASE，以免密码显示在进程列表中",
        "Address of a PostgreSQL database (postgres://…); by default the embedded one in the data folder. The environment variable FIELDBOOK_DATABASE does the same and keeps a password out of the list of processes",
    ),
    ("cli --lang", "界面语言:zh 或 en", "Language: zh or en"),
    ("cli serve", "启动服务器", "Serve phones and supervisors"),
    ("cli serve --listen", "监听地址；端口 0 由系统选择", "Address to listen on; port 0 lets the system choose"),
    ("cli serve --name", "手机上显示的服务器名称", "Name of the server as phones show it"),
    (
        "cli serve --address",
        "写入注册链接的地址，默认为监听地址",
        "Address put into enrolment links; by default where it listens",
    ),
    ("cli serve --plain-http", "不用 TLS（仅限本机地址）", "Without TLS (loopback addresses only)"),
    ("cli unit", "单位", "Units"),
    ("cli unit add", "新增单位", "Add a unit"),
    ("cli unit add --parent", "上级单位代码；第一个单位没有上级", "Code of the parent; the first unit has none"),
    ("cli unit add --division", "行政区划代码,6 至 12 位", "Division code, 6 to 12 digits"),
    ("cli unit import", "从 CSV 导入（code,name,parent,division）", "Import from CSV (code,name,parent,division)"),
    ("cli unit list", "列出单位", "List units"),
    ("cli user", "用户", "Users"),
    ("cli user add", "新增用户，显示一次初始密码", "Add a user; shows the generated password once"),
    ("cli user add --unit", "所属单位", "Unit of the user"),
    ("cli user add --role", "角色，逗号分隔：{roles}", "Roles, comma-separated: {roles}"),
    ("cli user add --login", "登录名，默认由单位代码生成", "Login; by default made from the unit's code"),
    ("cli user list", "列出用户", "List users"),
    ("cli user role", "授予或收回角色", "Give or take roles"),
    ("cli user role --give", "授予：角色@单位", "Give: ROLE@UNIT"),
    ("cli user role --take", "收回：角色@单位", "Take: ROLE@UNIT"),
    (
        "cli user reset-factor",
        "取消用户的身份验证器；下次登录时重新设置",
        "Take a user's second factor away; the next sign-in sets up a new one",
    ),
    (
        "cli user second-factor",
        "控制台登录是否必须使用身份验证器：required 必须（默认），optional 自愿（仅供试用和脚本）",
        "Whether the console asks for a second factor: required (the default), or optional, for trials and scripts",
    ),
    ("cli user reset-password", "重置密码，显示一次新密码", "Reset the password; shows the new one once"),
    ("cli device", "设备", "Devices"),
    (
        "cli device enrol",
        "生成注册链接和二维码：一次有效，该用户尚未使用的旧链接随即失效",
        "Make an enrolment link and QR code: works once; an unused one of this user works no longer",
    ),
    ("cli device enrol --days", "链接的有效天数，1–30", "Days for which the link works, 1 to 30"),
    ("cli device enrol --png", "把二维码存为图片", "Write the QR code as a picture"),
    (
        "cli device enrol --address",
        "链接中的地址，默认为上次启动时的地址",
        "Address in the link; by default the one last served at",
    ),
    ("cli device list", "列出设备", "List devices"),
    ("cli device revoke", "立即停用设备", "Revoke a device at once"),
    ("cli form", "表单", "Forms"),
    ("cli form check", "检查表单文件，每个文件一行", "Check form files, a line a file"),
    ("cli form publish", "发布表单", "Publish a form"),
    (
        "cli form publish --unit",
        "发布到哪个单位及其下级，默认为根单位",
        "Unit (and those below) that get it; by default the root",
    ),
    ("cli form list", "列出已发布的表单", "List published forms"),
    ("cli record", "档案", "Records"),
    ("cli record list", "列出某一类档案", "List the records of a kind"),
    ("cli record show", "显示一份档案", "Show a record"),
    ("cli record show --json", "以 JSON 输出", "As JSON"),
    (
        "cli record move",
        "把档案连同全部历史转到另一单位；可同时转多份（如家庭及其走访）",
        "Move records with their whole history to another unit, all or none",
    ),
    ("cli record move --to", "转入单位的代码", "Code of the unit that they go to"),
    ("cli record move --reason", "原因，写入操作日志；不要写姓名", "Why, for the audit trail; name nobody"),
    (
        "cli record purge",
        "永久删除一份档案：服务器和所有手机，不能恢复",
        "Erase a record for ever, here and on every phone",
    ),
    ("cli record purge --reason", "原因，写入操作日志；不要写姓名", "Why, for the audit trail; name nobody"),
    (
        "cli certificate",
        "把服务器的 TLS 证书和私钥写入文件夹，供前置代理（如 nginx）使用",
        "Write the server's TLS certificate and key into a folder, for a proxy before it such as nginx",
    ),
    (
        "cli serve --upstream",
        "作为乡镇站运行：上级服务器给的绑定链接（只需一次）",
        "Run as a township hub of the server that this enrolment link names (needed once)",
    ),
    (
        "cli serve --upstream-seconds",
        "乡镇站至少每隔多少秒与上级服务器交换一次",
        "Seconds after which a township hub exchanges with its server at the latest",
    ),
    ("cli status", "显示乡镇站上还没送到服务器的内容", "Show what waits at a township hub"),
    ("cli verify", "核对日志链、正文、签名", "Check chains, bodies and signatures"),
    ("cli restored", "恢复之后：查看待确认的事项", "After a restore: what to look at"),
    ("cli restored confirm", "确认设备和删除清单无误，恢复服务", "Devices and purge list are right: serve again"),
    // Command line: answers.
    ("listening", "listening on {url}", "listening on {url}"),
    ("hub_listening", "乡镇站 listening on {url}", "township hub listening on {url}"),
    (
        "hub_status",
        "服务器：{upstream}\n上次交换：{last}\n服务的设备：{devices}\n已存的日志条目：{entries}\n还没送到服务器的修改：{changes}（{waiting} 台设备）\n搁置的修改（服务器上有别的内容）：{aside}",
        "server: {upstream}\nlast exchange: {last}\ndevices served: {devices}\nlog entries held: {entries}\nchanges not on the server yet: {changes} (of {waiting} devices)\nchanges set aside (the server holds others): {aside}",
    ),
    (
        "is_hub",
        "{path} 是乡镇站的数据目录，这里没有服务器。乡镇站只有 serve 和 status 两个命令。",
        "{path} is a township hub's data folder and holds no server. A hub has the commands serve and status.",
    ),
    ("no_hub_here", "{path} 不是乡镇站的数据目录。", "{path} is no data folder of a township hub."),
    (
        "hub_is_server",
        "{path} 是服务器的数据目录，不能用作乡镇站。请换一个 --data。",
        "{path} is a server's data folder and cannot be a township hub's. Use another --data.",
    ),
    (
        "hub_other_server",
        "这个乡镇站已绑定别的服务器，不能改绑 {address}。请换一个 --data。",
        "This township hub belongs to another server and cannot go to {address}. Use another --data.",
    ),
    (
        "hub_not_enrolled",
        "乡镇站没有绑定成功（{detail}）。请用新的绑定链接：serve --upstream LINK。",
        "The township hub is not enrolled ({detail}). Use a new link: serve --upstream LINK.",
    ),
    (
        "no_hub_role",
        "用户“{name}”没有 hub 角色，不能作为乡镇站绑定。请先给该用户 hub 角色。",
        "The user {name} has no role hub: give it first, then enrol the township hub with a new link.",
    ),
    (
        "hub_no_certificate",
        "乡镇站还没有服务器签发的证书，不能启动（{detail}）。第一次启动要连得上服务器。",
        "The township hub has no certificate of its server yet and cannot serve ({detail}). Its first start needs the server.",
    ),
    (
        "link_malformed",
        "绑定链接无效。请重新复制管理员给的链接。",
        "This is no enrolment link. Copy the administrator's link again.",
    ),
    ("root_pin", "根证书指纹 root pin: {pin}", "root pin: {pin}"),
    ("stopped", "服务器已停止", "stopped"),
    ("unit_added", "已新增单位 {unit} {name}", "added unit {unit} {name}"),
    ("units_imported", "已导入 {count} 个单位", "imported {count} units"),
    (
        "user_added",
        "已新增用户 {name}，登录名 {login}，初始密码 {password}（只显示这一次）",
        "added user {name}, login {login}; shown only now, password {password}",
    ),
    (
        "password_reset",
        "{name}（登录名 {login}）的新密码：{password}（只显示这一次）",
        "{name}, login {login}; shown only now, new password {password}",
    ),
    ("user_roles", "{name}：{roles}", "{name}: {roles}"),
    (
        "factor_reset",
        "已取消 {login} 的身份验证器，其会话已结束。",
        "{login} has no second factor any more; their sessions have ended.",
    ),
    ("factor_required", "控制台登录必须使用身份验证器。", "The console asks everybody for a second factor."),
    (
        "factor_optional",
        "身份验证器为自愿。正式使用前请改为 required。",
        "A second factor is optional. Make it required before real use.",
    ),
    (
        "enrol_link",
        "{name} 的注册链接（一次有效，{time} 前）：",
        "Enrolment link for {name} (works once, until {time}):",
    ),
    ("device_revoked", "设备 {device} 已停用", "device {device} is revoked"),
    ("device_revoked_before", "设备 {device} 先前已停用", "device {device} was revoked before"),
    (
        "form_fine",
        "{file}: 合格，{kind} {version}，{fields} 个字段{mind}",
        "{file}: fine, {kind} {version}, {fields} fields{mind}",
    ),
    ("form_refused", "{file}: 未通过：{detail}", "{file}: refused: {detail}"),
    ("form_mind", "；注意：{detail}", "; mind: {detail}"),
    ("form_published", "已发布 {kind} {version} 到 {unit}{mind}", "published {kind} {version} at {unit}{mind}"),
    ("form_known", "{kind} {version} 先前已发布，内容相同", "{kind} {version} was published before, unchanged"),
    (
        "certificate_written",
        "已写入 {folder}：fieldbook.crt 和 fieldbook.key。私钥只可给代理读取。",
        "written into {folder}: fieldbook.crt and fieldbook.key. Let nobody but the proxy read the key",
    ),
    ("records_moved", "已把 {count} 份档案转到 {unit}", "{count} records belong to {unit} now"),
    (
        "record_purged",
        "档案 {record} 已永久删除；各手机下次同步时删除。已有的备份仍含有它，请按期销毁。",
        "record {record} is erased for ever; each phone erases it at its next sync. Backups made before still hold it: let them expire",
    ),
    ("restore_aside", "原数据库另存为 {path}", "the database that was there is now {path}"),
    (
        "restored_waits",
        "第 {epoch} 期，等待确认。手机交还 {given} 条，已收回 {taken} 条；清单：永久删除 {purged}，停用 {revoked}；可同步的设备 {devices}。用 device revoke 停用不应再同步的设备，然后运行 restored confirm。",
        "epoch {epoch}, waiting. Phones gave back {given} entries, {taken} are in the log again; the list names {purged} purged records and {revoked} revoked devices; {devices} devices may sync. Revoke those that must not with `device revoke`, then run `restored confirm`",
    ),
    (
        "restored_not",
        "第 {epoch} 期，没有待确认的恢复。手机交还 {given} 条，已收回 {taken} 条。",
        "epoch {epoch}, nothing waits. Phones gave back {given} entries, {taken} are in the log again",
    ),
    ("restored_confirmed", "已确认，恢复服务。", "confirmed: the server serves again"),
    ("shown_record", "档案", "record"),
    ("shown_kind", "类别", "kind"),
    ("shown_unit", "单位", "unit"),
    ("shown_state", "状态", "state"),
    ("shown_conflict", "分歧", "conflict"),
    ("shown_problem", "问题", "problem"),
    ("shown_change", "修改", "change"),
    ("verify_fine", "合格  {check}：{count}", "fine  {check}: {count}"),
    ("verify_bad", "有误  {check}：{detail}", "BAD   {check}: {detail}"),
    // Reasons that are offered for a decision.
    ("reason_missing_answers", "必填内容不完整，请补充。", "Required answers are missing; please complete them."),
    (
        "reason_documents_unclear",
        "证件或证明材料不清楚，请重新核对。",
        "Documents are unclear; please check them again.",
    ),
    (
        "reason_identity_mismatch",
        "姓名、证件号码与证件不一致，请核对原件。",
        "Name or number differs from the document; please check the original.",
    ),
    (
        "reason_income_mismatch",
        "收入与支出数据前后不一致，请核实。",
        "Income and expenses do not agree; please verify them.",
    ),
    ("reason_members_mismatch", "家庭成员与人口数不符，请核对。", "Members do not add up; please check the household."),
    (
        "reason_visit_incomplete",
        "走访情况记录不完整，请补充说明。",
        "The visit is not fully described; please add to it.",
    ),
    ("reason_duplicate", "疑似重复登记，请确认。", "It seems to be registered twice; please confirm."),
    ("reason_ask_again", "请再次入户核实后提交。", "Please visit again, verify, and hand it in."),
    ("reason_wrong_person", "登记对象有误。", "It is about the wrong person or enterprise."),
    ("reason_test_record", "测试数据。", "It was made for a test."),
    ("reason_withdrawn", "本人撤回申请。", "The person has withdrawn."),
    // Problems.
    (
        "disk_full_at",
        "{path} 所在磁盘已满，未保存任何内容。请腾出空间后重试。",
        "The disk of {path} is full; nothing was stored. Free some space and try again.",
    ),
    (
        "disk_full",
        "数据文件夹所在磁盘已满，未保存任何内容。请腾出空间后重试。",
        "The disk of the data folder is full; nothing was stored. Free some space and try again.",
    ),
    (
        "storage_failed",
        "数据文件夹所在的存储读写出错（{detail}），这一步未保存任何内容。请检查磁盘和系统日志，再用 verify 核对。",
        "The storage of the data folder failed ({detail}); nothing of this step was stored. Check the disk and the system's log, then run `verify`.",
    ),
    (
        "newer_schema",
        "{path} 由更新的版本写成（结构 {found}，本程序支持 {known}）。请使用新版服务器。",
        "{path} was written by a newer version (schema {found}, this one knows {known}). Use a newer server.",
    ),
    (
        "wrong_key",
        "数据库无法打开：密钥不符，或文件不是数据库（{detail}）。请核对密钥文件。",
        "The database cannot be opened: wrong key, or no database ({detail}). Check the key file.",
    ),
    ("failed", "操作失败：{detail}", "Failed: {detail}"),
    (
        "key_missing",
        "缺少密钥文件 {path}，而数据库已存在。请放回密钥文件。",
        "The key file {path} is missing, but there is a database. Put the key file back.",
    ),
    ("key_malformed", "密钥文件 {path} 应为 64 位十六进制数。", "The key file {path} must hold 64 hex digits."),
    ("unit_unknown", "没有单位 {unit}，请核对编码或名称。", "No unit {unit}: check its code or name."),
    (
        "unit_code_malformed",
        "单位代码“{unit}”应为 1 至 32 位 ASCII 字母、数字、- 或 _。",
        "Unit code {unit} must be 1 to 32 ASCII letters, digits, - or _.",
    ),
    ("unit_exists", "单位 {unit} 已存在。", "Unit {unit} exists already."),
    (
        "root_exists",
        "根单位已是 {root}；请用 --parent 指明 {unit} 的上级。",
        "The root is {root} already; name the parent of {unit} with --parent.",
    ),
    ("tree_too_deep", "单位 {unit} 的层级超过 {max}。", "Unit {unit} would be deeper than {max} levels."),
    (
        "division_malformed",
        "区划代码“{division}”应为 6 至 12 位数字。",
        "Division code {division} must be 6 to 12 digits.",
    ),
    (
        "name_malformed",
        "名称“{name}”应为 1 至 100 个字符，不含控制字符。",
        "Name {name} must be 1 to 100 characters without control characters.",
    ),
    ("csv_malformed", "CSV 文件有误：{detail}", "The CSV file is malformed: {detail}"),
    ("user_unknown", "没有用户 {user}。", "No user {user}."),
    ("user_ambiguous", "不止一个用户名为 {user}；请用登录名。", "More than one user is named {user}; use the login."),
    ("login_taken", "登录名 {login} 已被使用。", "Login {login} is taken."),
    (
        "login_malformed",
        "登录名“{login}”应为 1 至 64 位 ASCII 字母、数字或 - _ . @。",
        "Login {login} must be 1 to 64 ASCII letters, digits or - _ . @.",
    ),
    ("password_malformed", "密码过长。", "The password is too long."),
    ("roles_missing", "请至少给出一个角色。", "Give at least one role."),
    ("role_unknown", "没有角色 {role}；可用：{roles}", "No role {role}; there are: {roles}"),
    ("grant_malformed", "“{text}”应写作 角色@单位。", "{text} must be written ROLE@UNIT."),
    ("device_unknown", "没有设备 {device}。", "No device {device}."),
    (
        "enrolment_code",
        "注册码无效、已使用或已过期。请管理员重新生成。",
        "The enrolment code is unknown, used or expired. Ask an administrator for a new one.",
    ),
    (
        "address_unknown",
        "尚不知道服务器地址：请先启动 serve,或用 --address 指明。",
        "The server's address is not known yet: start `serve` first, or pass --address.",
    ),
    ("address_malformed", "地址“{address}”应为“主机:端口”（半角冒号）。", "Address {address} must be HOST:PORT."),
    ("file_unwritable", "无法写入 {path}：{detail}", "Cannot write {path}: {detail}"),
    ("file_unreadable", "无法读取 {path}：{detail}", "Cannot read {path}: {detail}"),
    (
        "plain_only_loopback",
        "--plain-http 仅限本机地址，{address} 不是。",
        "--plain-http is for loopback only, {address} is not.",
    ),
    ("listen_failed", "无法监听 {address}：{detail}", "Cannot listen on {address}: {detail}"),
    ("no_units", "尚无单位：请先用 unit add 新增根单位。", "There is no unit yet: add the root with `unit add`."),
    (
        "form_version_taken",
        "{kind} {version} 已发布过，而内容不同：请换一个版本号。",
        "{kind} {version} was published with other content: give it a new version.",
    ),
    (
        "form_area_changed",
        "{kind} 属于 {area} 领域，新版本不能更改。",
        "{kind} belongs to area {area}; a new version cannot change it.",
    ),
    ("form_too_large", "表单 {kind} 过大（最多 {max} 字节）。", "Form {kind} is too large (at most {max} bytes)."),
    ("kind_unknown", "没有类别 {kind}。", "No kind {kind}."),
    ("record_exists", "档案 {record} 已存在或已删除。", "The record {record} is here already, or was erased."),
    ("record_unknown", "没有档案 {record}。", "No record {record}."),
    (
        "form_not_there",
        "单位 {unit} 收不到类别 {kind} 的表单，档案不能转去：只能在表单所发布的单位及其下级之间转。",
        "Unit {unit} does not get the form of kind {kind}: its records move only among the units that do.",
    ),
    ("signed_out", "请先登录。", "Please sign in."),
    ("login_refused", "登录名或密码不正确。", "Login or password is wrong."),
    (
        "code_wanted",
        "请输入身份验证器中的六位验证码，或一个恢复码。",
        "Enter the six digits of your authenticator app, or a recovery code.",
    ),
    (
        "code_refused",
        "验证码不正确或已用过。请等待下一个验证码，并检查手机时间是否准确。",
        "The code is wrong or was used before. Wait for the next one, and check the clock of your phone.",
    ),
    (
        "account_unfinished",
        "请先设置自己的密码和身份验证器。",
        "Choose a password of your own and set up an authenticator app first.",
    ),
    ("foreign_site", "此请求来自其他网站，已拒绝。", "This request came from another site and was refused."),
    ("password_wrong", "密码不正确。", "The password is wrong."),
    (
        "password_weak",
        "密码至少 {least} 个字符，不能只由登录名和常见密码组成，也不能与原密码相同。",
        "A password has at least {least} characters, is not made of the login and common passwords, and is another than before.",
    ),
    ("factor_not_begun", "请先取得新的密钥，再输入验证码。", "Ask for a new secret first, then enter its code."),
    ("session_unknown", "没有会话 {session}，它可能已经结束。", "There is no session {session}; it may have ended."),
    (
        "not_auditor",
        "只有最上级单位的审核人员和审计员可以查看操作日志。",
        "Only supervisors and auditors of the topmost unit read the audit log.",
    ),
    ("too_many_attempts", "尝试次数过多，请 15 分钟后再试。", "Too many attempts; try again in 15 minutes."),
    ("internal", "服务器内部出错，请联系管理员。", "The server failed inside; tell an administrator."),
    ("days_out_of_range", "有效天数须为 1 至 {max}。", "Links work for 1 to {max} days."),
    ("method_not_here", "这个地址不接受这种请求。", "This address does not take requests of this kind."),
    ("address_not_here", "没有这个地址。", "There is no such address."),
    ("request_malformed", "请求有误：{detail}", "The request is malformed: {detail}"),
    ("not_supervisor", "您在单位 {unit} 没有审核权限。", "You may not decide on records of unit {unit}."),
    ("not_your_field", "您无权填写：{field}", "You may not write: {field}"),
    (
        "heads_moved",
        "您阅读之后档案又有变化，请重新打开后再审核。",
        "The record has changed since you read it; open it again, then decide.",
    ),
    (
        "heads_unknown",
        "请求所指的版本不在此档案中，请重新打开。",
        "The record does not hold the version that you name; open it again.",
    ),
    ("must_agree", "“{field}”有两个不同的值，请先选定一个。", "{field} has different values; choose one first."),
    (
        "has_problems",
        "“{field}”不符合表单规则，暂不能通过。",
        "{field} breaks a rule of the form; it cannot be approved yet.",
    ),
    (
        "own_record",
        "您填写过此档案，不能由您来通过。",
        "You have written in this record; somebody else must approve it.",
    ),
    ("wrong_state", "档案处于“{state}”状态，不能这样处理。", "The record is {state}; this cannot be done with it."),
    ("reasons_missing", "请说明理由。", "Please give reasons."),
    ("field_unknown", "表单没有字段 {field}。", "The form has no field {field}."),
    (
        "database_away",
        "数据库暂时没有应答，这一步没有做。请过一会儿再试；如果一直这样，请联系管理员。",
        "The database does not answer at the moment, and this was not done. Try again in a while; if it stays so, tell the administrator.",
    ),
    (
        "text_refused",
        "文字里有不能保存的字符（U+0000）。请去掉后再试。",
        "The text holds a character that cannot be stored (U+0000). Leave it out.",
    ),
    (
        "value_masked",
        "“{field}”的内容是隐藏着的，不能把星号写进去。请先点“显示”看到内容再填，或直接选用其中一个。",
        "The answer of {field} is hidden, and asterisks are no answer. Reveal it first, or choose one of the values.",
    ),
    (
        "side_unknown",
        "改动 {change} 没有填写“{field}”。请刷新这一页再选。",
        "The change {change} did not write {field}. Load the page again, and choose then.",
    ),
    ("value_refused", "无法保存：{detail}", "It cannot be saved: {detail}"),
    ("answer", "{path}：{reason}", "{path}: {reason}"),
    ("quarantine_unknown", "隔离区没有 {id}。", "Nothing waits in quarantine as {id}."),
    (
        "depends_on_quarantined",
        "它依赖另一项仍在隔离的修改，请先处理那一项。",
        "It builds on another quarantined change; admit that one first.",
    ),
    (
        "list_malformed",
        "{path} 第 {line} 行有误。请改正；该文件记着已永久删除的档案和已停用的设备。",
        "{path}: line {line} is malformed. Mend it: the file names the records that were purged and the devices that were revoked.",
    ),
    (
        "awaiting_confirmation",
        "服务器刚从备份恢复，等待管理员确认：查看 restored，再运行 restored confirm。",
        "The server was restored and waits for its administrator: see `restored`, then run `restored confirm`.",
    ),
    (
        "console_not_built",
        "这个程序里没有审核台的网页。请在源码目录运行 make console，再重新构建服务器；手机同步和接口不受影响。",
        "This program was built without the console's pages. Run `make console` in the sources and build the server again; phones and the API work as they are.",
    ),
    ("not_awaiting", "没有待确认的恢复。", "No restore waits to be confirmed."),
    ("file_exists", "{path} 已存在。", "{path} exists already."),
    (
        "backup_damaged",
        "备份 {path} 已损坏。未作任何更改：请用另一份备份。",
        "The backup {path} is damaged. Nothing was changed: use another one.",
    ),
    (
        "backup_other",
        "{path} 是另一台服务器的备份。未作任何更改：如确需用它，请先把 fieldbook.db 移走。",
        "{path} is a backup of another server than the one in the data folder. Nothing was changed: if you do mean it, move fieldbook.db away first.",
    ),
    ("server_runs", "数据库正被使用：请先停止服务器。", "The database is in use: stop the server first."),
    ("id_malformed", "“{text}”不是有效的编号。", "{text} is no valid id."),
];

#[cfg(test)]
mod tests;
