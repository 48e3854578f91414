//! Texts of doubles, sync reports and forms on the desk.

/// (word, zh-Hans, English).
pub(super) const CATALOGUE: &[(&str, &str, &str)] = &[
    (
        "double_unknown",
        "没有重复项 {id}：可能已处理，或相关档案有了变化。请刷新列表。",
        "There is no double {id}: it may have been decided, or its records have changed. Load the list again.",
    ),
    (
        "double_reason",
        "与另一份档案重复，以那一份为准。{reasons}",
        "A double of another record, which stays. {reasons}",
    ),
    ("exchange_unknown", "没有同步报告 {id}，可能已超过保留期限。", "There is no sync report {id}; it may be too old."),
    (
        "preview_unknown",
        "上传的表单已不在（只保留一小时），请重新上传。",
        "The uploaded form is no longer here (it is kept for an hour): upload it again.",
    ),
    (
        "not_publisher",
        "您无权在单位 {unit} 发布该领域的表单：需要该单位或上级单位的审核权限。",
        "You may not publish forms of this area at unit {unit}: it takes a supervisor of that unit or of one above.",
    ),
    (
        "form_moved",
        "您上传之后，{kind} 又发布了版本 {version}。请重新上传，核对与该版本的差异后再发布。",
        "Version {version} of {kind} was published after your upload. Upload again and look at the differences first.",
    ),
    (
        "form_unit_narrower",
        "{kind} 已在单位 {unit} 发布，新版本应发布到该单位或其上级。",
        "{kind} is published at unit {unit}: a new version goes to that unit or to one above.",
    ),
    ("upload_too_large", "文件太大，最多 {max} 字节。", "The file is too large: at most {max} bytes."),
    ("workbook_refused", "这个文件不能用作表单：{detail}", "This file cannot be used as a form: {detail}"),
    (
        "run_too_long",
        "试填的步骤太多或计算太久（{detail}），请从头再试。",
        "Too many steps, or they take too long ({detail}): begin anew.",
    ),
    ("busy", "正在处理别的表单，请稍后再试。", "Other forms are being worked on: try again in a moment."),
    (
        "form_lists_nothing",
        "没有任何一项标为列表列（bind::fb:list），列表里将认不出各份档案。",
        "No question is a column in lists (bind::fb:list): records cannot be told apart in them.",
    ),
    (
        "form_identity_plain",
        "“{path}”用于识别身份，却标为 plain（与个人无关），请核对 bind::fb:sensitivity。",
        "{path} identifies a person, but is marked plain: check bind::fb:sensitivity.",
    ),
    (
        "effect_added",
        "已有档案中此项为空；如为必填，会提示补填，补填后才能通过。",
        "It is empty in records that are here; where it is required they say so, and cannot be approved without it.",
    ),
    (
        "effect_removed",
        "已有答案保留，但不再显示和导出。",
        "Answers already given are kept, and no longer shown or exported.",
    ),
    (
        "effect_retyped",
        "视为新的一项：原类型下的答案保留，但不再显示。",
        "It is a new field: answers already given under the old type are kept, and no longer shown.",
    ),
    (
        "effect_choices_removed",
        "选过这些选项的档案会提示此项不合要求。",
        "Records in which one of these was chosen say that the answer does not fit.",
    ),
    (
        "effect_required",
        "没有填写的已有档案会提示补填，补填后才能通过。",
        "Records that are here without an answer say so, and cannot be approved without it.",
    ),
    (
        "effect_relevant",
        "已有档案按新条件显示；不再询问的答案保留但不显示。",
        "Records that are here follow the new condition: answers that are no longer asked are kept and not shown.",
    ),
    (
        "effect_constraint",
        "已有档案按新规则检查，不符合的会提示。",
        "Records that are here are checked by the new rule; those that break it say so.",
    ),
    ("effect_calculation", "已有档案按新公式重新计算。", "It is computed anew in records that are here."),
    ("effect_merge", "已有的分歧按新的方式处理。", "Disagreements that are here are treated the new way."),
    ("effect_masked", "列表和网页上将打码显示。", "It is masked on lists and on the console."),
    (
        "effect_unmasked",
        "列表和网页上将不再打码，请确认。",
        "It is no longer masked on lists and on the console: is that meant?",
    ),
    (
        "effect_writers",
        "只影响今后：其他角色填写的内容会进入隔离区。",
        "From now on: what other roles write there is quarantined.",
    ),
    ("effect_persons", "将重新比对全部档案是否重复。", "All records are compared anew for doubles."),
    (
        "effect_unit",
        "已有数值不变，请确认单位没有换算。",
        "Numbers that are here stay: make sure that they count the same.",
    ),
];
