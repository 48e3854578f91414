//! Texts of users and staff lists.

/// (word, zh-Hans, English).
pub(super) const CATALOGUE: &[(&str, &str, &str)] = &[
    (
        "role_above",
        "您不能授予或收回单位 {unit} 的角色 {role}，也不能管理持有该角色的用户：它超出您的审核范围或级别。",
        "Role {role} at unit {unit} is not yours to give or take, nor are its holders: it lies beyond your units or level.",
    ),
    (
        "own_account",
        "不能在这里更改自己的账号，请由其他审核人员办理。",
        "Your own account is not changed here: another supervisor does it.",
    ),
    (
        "last_supervisor",
        "最上级单位必须至少保留一名审核人员，请先授权给别人。",
        "Somebody has to supervise the topmost unit: give the role to somebody else first.",
    ),
    (
        "address_unset",
        "尚不知道手机应连接的服务器地址，请管理员先设置。",
        "The address at which phones find the server is not known yet: the administrator sets it.",
    ),
    (
        "staff_unreadable",
        "无法读取名单：{detail}。请上传 XLSX，或 UTF-8、GB18030 编码的 CSV。",
        "The list cannot be read: {detail}. Use XLSX, or CSV in UTF-8 or GB18030.",
    ),
    (
        "staff_columns",
        "名单第一行应有“姓名”“单位”两列，可另有“登录名”“角色”。",
        "The first row of the list needs the columns name and unit; login and role may be there.",
    ),
    ("staff_too_many", "名单最多 {max} 人，请分开导入。", "A list has at most {max} people: split it."),
    (
        "staff_passwords",
        "一份名单最多 {max} 人使用管理台，请分开导入。",
        "At most {max} people of a list use the console: split it.",
    ),
    ("staff_row", "第 {row} 人：{detail}所有人均未添加。", "Person {row}: {detail} Nobody was added."),
    (
        "staff_twice",
        "名单中“{name}”重复；同单位同名的人请填写不同的登录名。",
        "{name} is in the list twice; people of one unit and name need logins of their own.",
    ),
    (
        "name_formula",
        "名称“{name}”不能以 = + - @ 开头（全角的也不行）。",
        "Name {name} must not begin with = + - @, wide ones either.",
    ),
    (
        "unit_ambiguous",
        "不止一个单位名为“{unit}”，请填写单位代码。",
        "More than one unit is named {unit}: use the code.",
    ),
];
