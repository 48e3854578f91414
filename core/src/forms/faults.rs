//! What is wrong with a form: short sentences for the person who wrote it, in Chinese and English, by stable key. What
//! is wrong with an answer is in [`super::catalogue`].

use std::fmt;

use super::catalogue::{catalogue, filled, reads_chinese};

/// Characters of one argument that are shown.
const ARGUMENT_CHARS_MAX: usize = 200;

catalogue! {
    /// The stable name of what is wrong with a form, of where, and of what helps.
    FaultKind {
    // Where.
    /// A sheet.
    Sheet "sheet" "工作表 {0}" "sheet {0}";
    /// A row.
    Row "row" "第 {0} 行" "row {0}";
    /// A column.
    Column "column" "{0} 列" "column {0}";
    // Files.
    /// No such file.
    FileMissing "file_missing" "找不到“{0}”，请核对路径" "there is no {0}: check the path";
    /// The system does not let it be read.
    FileUnreadable "file_unreadable" "“{0}”无法读取（{1}），请核对权限" "{0} cannot be read ({1}): check its permissions";
    /// Larger than a workbook or data file may be.
    FileTooLarge "file_too_large" "“{0}”太大，最多 {1} 字节，请删去图片和不用的工作表" "{0} is too large, at most {1} bytes: delete pictures and unused sheets";
    /// A folder without sheets.
    NoSurveyFile "no_survey_file" "文件夹“{0}”里没有 survey.csv；CSV 表单要有 survey.csv，用到时还要有 choices.csv 和 settings.csv" "the folder {0} holds no survey.csv: CSV sheets need survey.csv, and choices.csv and settings.csv where used";
    /// Neither `.xlsx` nor `.xls`.
    NotAWorkbook "not_a_workbook" "这不是工作簿，请给 .xlsx 或 .xls 文件，或含有 survey.csv 的文件夹" "this is no workbook: give an .xlsx or .xls file, or a folder with survey.csv";
    /// The reader of workbooks said no.
    WorkbookUnreadable "workbook_unreadable" "工作簿无法读取（{0}），请用表格软件重新另存为 .xlsx" "the workbook cannot be read ({0}): save it again as .xlsx with a spreadsheet program";
    /// The reader of workbooks broke down.
    WorkbookDamaged "workbook_damaged" "工作簿无法读取，请用表格软件重新另存为 .xlsx" "the workbook cannot be read: save it again as .xlsx with a spreadsheet program";
    /// A small file that inflates to a huge one.
    WorkbookInflates "workbook_inflates" "工作簿解压后太大，请删去图片和不用的工作表" "the workbook inflates to too much: delete pictures and unused sheets";
    /// Another encoding.
    NotUtf8 "not_utf8" "文件不是 UTF-8 编码，请另存为“CSV UTF-8”" "the file is not UTF-8: save it as CSV UTF-8";
    /// No comma-separated text.
    NotCsv "not_csv" "不是有效的 CSV（{0}）" "no CSV ({0})";
    /// Too many rows, columns or characters.
    SheetTooLarge "sheet_too_large" "工作表太大，最多 {0} 行、{1} 列，请删去看似空白的单元格" "the sheet is too large, at most {0} rows and {1} columns: delete cells that only look empty";
    /// A cell that is too long.
    CellTooLong "cell_too_long" "单元格太长，最多 {0} 个字" "the cell is too long: at most {0} characters";
    /// No sheet with questions.
    NoSurveySheet "no_survey_sheet" "没有 survey 工作表；XLSForm 要有名为 survey 的工作表，含 type、name、label 列" "there is no survey sheet: an XLSForm needs one, with the columns type, name and label";
    /// No `type` column.
    NoTypeColumn "no_type_column" "没有 type 列；第一行写各列的名称：type、name、label" "there is no type column: the first row names the columns type, name, label";
    /// Two columns of one name.
    ColumnTwice "column_twice" "{0} 列出现了两次，请删去或改名其中一列" "the column {0} is there twice: delete or rename one";
    // Size and shape.
    /// Groups in groups in groups.
    NestsTooDeep "nests_too_deep" "分组嵌套太深，最多 {0} 层" "groups nest deeper than {0}";
    /// Too many questions.
    TooManyQuestions "too_many_questions" "题目太多，最多 {0} 个" "too many questions: at most {0}";
    /// The compiled form is too large.
    FormTooLarge "form_too_large" "编译后的表单有 {0} 字节，最多 {1} 字节，请减少选项或数据文件" "the compiled form has {0} bytes, at most {1}: make choice lists and data files smaller";
    /// Its logic is too large.
    LogicTooLarge "logic_too_large" "表单的逻辑部分太大，最多 {0} 字节，请减少题目、选项或数据文件" "the form's logic is larger than {0} bytes: use fewer questions, choices or smaller data files";
    /// A lookup table is too large.
    TableTooLarge "table_too_large" "数据表“{0}”太大，最多 {1} 个单元格" "the table {0} is too large: at most {1} cells";
    /// Bytes that are no form, or one of another app version.
    NotAForm "not_a_form" "不是可用的表单（{0}），请重新发布表单或更新走访本" "these bytes are no compiled form ({0}): publish the form again or update the app";
    /// Parts contradict each other.
    Contradiction "contradiction" "表单自相矛盾（{0}）" "the form contradicts itself ({0})";
    // Our own columns.
    /// A word that the column does not know.
    NotAllowed "not_allowed" "{0} 不能写“{1}”" "{0} cannot be {1}";
    /// `set` for one choice.
    SetOfOne "set_of_one" "set 只用于 select_multiple，这里可以写 register, must-agree, once" "set is for select_multiple only; here allowed: register, must-agree, once";
    /// What may be written.
    Allowed "allowed" "可以写：{0}" "allowed: {0}";
    // Data files.
    /// A data file that cannot be used; why is said beside it.
    DataFile "data_file" "数据文件“{0}”不能用" "the data file {0} cannot be used";
    /// A data file that is not there.
    DataFileMissing "data_file_missing" "表单旁边没有数据文件“{0}”，由它提供的选项会是空的" "the data file {0} is not beside the form: what it offers stays empty";
    /// Too many rows in a data file.
    DataRows "data_rows" "行数太多，最多 {0} 行" "too many rows: at most {0}";
    /// No XML.
    NotXml "not_xml" "不是有效的 XML（{0}）" "no XML ({0})";
    /// No GeoJSON.
    NotGeoJson "not_geojson" "不是有效的 GeoJSON（{0}）" "no GeoJSON ({0})";
    // Rows of the survey sheet.
    /// A type that XLSForm does not know.
    UnknownType "unknown_type" "没有题型“{0}”" "there is no question type {0}";
    /// A question without name.
    NoName "no_name" "题目没有名称；除说明（note）外，每个题目都要在 name 列写一个不重复的名称" "the question has no name: every question but a note needs one of its own in the column name";
    /// A group or repeat without name.
    GroupWithoutName "group_without_name" "分组或重复组没有名称，请在 name 列写上" "the group or repeat has no name: write one into the column name";
    /// A name that cannot be one.
    BadName "bad_name" "“{0}”不能作名称：以字母或下划线开头，只用字母、数字、-、_ 和 .，不留空格" "{0} is no name: it starts with a letter or underscore and holds letters, digits, -, _ and . only";
    /// The same name twice in one group.
    NameTwice "name_twice" "名称“{0}”重复（第 {1} 行和第 {2} 行），同一组内的名称不能相同" "the name {0} is there twice (rows {1} and {2}): names differ within a group";
    /// Nothing to read.
    NoLabel "no_label" "题目“{0}”没有标签也没有提示；不显示的题目请用 calculate 或 hidden" "the question {0} has neither label nor hint: one that is not shown is of type calculate or hidden";
    /// An end too many.
    EndWithoutBegin "end_without_begin" "“{0}”前面没有对应的 begin，可能重复结束或 begin 行被删" "{0} has no begin: a group may have been ended twice, or its begin row deleted";
    /// The end of something else.
    WrongEnd "wrong_end" "此行是 end {0}，而第 {3} 行开始的是 {1}“{2}”，请改为 end {1}" "this row is end {0}, but row {3} began the {1} {2}: write end {1}";
    /// A group without end.
    NoEnd "no_end" "{0}“{1}”没有结束，请在它最后一题之后加一行 end {0}" "the {0} {1} is not ended: add a row end {0} after its last question";
    /// `or_other` with a filter.
    OtherFiltered "other_filtered" "or_other 不能与 choice_filter 一起用；请去掉一个，或在 choices 中写上“其他”" "or_other cannot be used with choice_filter: drop one, or write the other choice into choices";
    /// `or_other` with choices from a file.
    OtherFromFile "other_from_file" "or_other 不能用于 select_…_from_file" "or_other cannot be used with select_…_from_file";
    /// A table whose questions are filtered.
    TableFiltered "table_filtered" "table-list 分组中的题目“{0}”不能用 choice_filter" "the question {0} of a table-list group cannot have a choice_filter";
    /// A table of several lists.
    TableLists "table_lists" "table-list 分组中的题目要用同一个选项表，这里有“{0}”和“{1}”" "the questions of a table-list group share one choice list, here are {0} and {1}";
    /// No such choice list.
    UnknownList "unknown_list" "choices 工作表中没有选项表“{0}”" "the choices sheet has no list {0}";
    /// The lists that there are.
    Lists "lists" "现有：{0}" "there are: {0}";
    /// No lists at all.
    NoLists "no_lists" "没有 choices 工作表，或者它是空的" "there is no choices sheet, or it is empty";
    /// What was perhaps meant.
    DidYouMean "did_you_mean" "是不是“{0}”？" "did you mean {0}?";
    /// A reference to nothing.
    UnknownReference "unknown_reference" "${{0}} 不是任何题目或分组的名称" "${{0}} names no question or group";
    /// A reference to several questions.
    AmbiguousReference "ambiguous_reference" "${{0}} 不明确：不止一个题目叫这个名称，请写路径（../{0} 或 /data/…/{0}）或改名" "${{0}} is ambiguous: more than one question has this name; write its path (../{0} or /data/…/{0}), or rename one";
    /// A reference without end.
    OpenReference "open_reference" "${…} 没有写完，缺少 }" "a ${…} is not closed: add the }";
    /// A position in the background that nothing starts.
    NoTrigger "no_trigger" "background-geopoint“{0}”没有 trigger，请在 trigger 列写 ${题目}" "the background-geopoint {0} has no trigger: write ${question} into the column trigger";
    /// A trigger that is no reference.
    BadTrigger "bad_trigger" "trigger 列只写一个引用，例如 ${age}，这里是“{0}”" "the column trigger holds one reference, such as ${age}, here it is {0}";
    /// A trigger that nobody can set off.
    UnseenTrigger "unseen_trigger" "${{0}} 不由人填写，不能触发“{1}”" "${{0}} is answered by nobody, so it cannot trigger {1}";
    /// Two files under one name.
    SourceTwice "source_twice" "两个不同的数据文件（“{1}”和“{2}”）都叫“{0}”，请改名其中一个" "two data files ({1} and {2}) go by the name {0}: rename one";
    // Choices.
    /// A choice outside a list.
    ChoiceWithoutList "choice_without_list" "选项没有 list_name，不知道属于哪个选项表" "the choice has no list_name";
    /// A choice without name.
    ChoiceWithoutName "choice_without_name" "选项表“{0}”中有选项没有 name" "a choice of the list {0} has no name";
    /// A choice twice.
    ChoiceTwice "choice_twice" "选项“{0}”在选项表“{1}”中重复（第 {2} 行和第 {3} 行）；若是有意，请在 settings 写 allow_choice_duplicates=yes" "the choice {0} is there twice in the list {1} (rows {2} and {3}); if it should be, write allow_choice_duplicates=yes into settings";
    /// A blank where blanks separate.
    ChoiceWithSpace "choice_with_space" "选项表“{1}”用于多选，选项名“{0}”不能含空格，请用 _" "the list {1} is for several choices, so the name {0} cannot hold a space: use _";
    // Entities.
    /// More than one entity.
    EntityTwice "entity_twice" "一个表单只能声明一个 entity，请删去多余的行" "a form declares one entity only: remove the other rows";
    /// A column that entities do not have.
    EntityColumn "entity_column" "entities 工作表没有“{0}”这一列" "the entities sheet has no column {0}";
    /// An entity outside a list.
    EntityWithoutList "entity_without_list" "entity 没有 list_name" "the entity has no list_name";
    /// A list name that cannot be one.
    EntityListName "entity_list_name" "“{0}”不能作 entity 的 list_name：不以 __ 开头，不含 ." "{0} is no list_name for entities: it cannot start with __ or hold a .";
    /// An update of nobody knows what.
    EntityUpdate "entity_update" "写了 update_if 就要写 entity_id" "update_if needs an entity_id";
    /// An entity that is made and updated, but not told when.
    EntityCreate "entity_create" "entity_id 与 create_if 一起用时还要写 update_if" "entity_id with create_if needs an update_if too";
    /// An entity without label.
    EntityWithoutLabel "entity_without_label" "新建 entity 要写 label" "a form that creates entities gives them a label";
    /// Many values for one property.
    SaveToInRepeat "save_to_in_repeat" "重复组中的题目不能用 save_to：entity 的属性只有一个值" "a question in a repeat cannot have save_to: an entity's property has one value";
    /// What the form library says and this catalogue does not know.
    LibraryRefused "library_refused" "表单库不接受（{0}）" "the form library refused it ({0})";
    // Expressions.
    /// Too many characters.
    ExpressionTooLong "expression_too_long" "表达式太长，最多 {0} 个字符" "the expression is too long: at most {0} characters";
    /// Too many parts.
    ExpressionTooComplicated "expression_too_complicated" "表达式太复杂，请拆成几个 calculate" "the expression is too complicated: split it into several calculations";
    /// It cannot be read.
    ExpressionMalformed "expression_malformed" "表达式写法有误，请核对括号、引号、逗号和运算符（{0}）" "the expression is malformed: check brackets, quotes, commas and operators ({0})";
    /// A quote without end.
    OpenQuote "open_quote" "表达式中的引号没有成对" "a quote of the expression is not closed";
    /// A character that means nothing.
    UnexpectedCharacter "unexpected_character" "表达式中不能有“{0}”；标点要用半角" "the expression cannot hold {0}";
    /// `$name` for `${name}`.
    UnknownVariable "unknown_variable" "表单中没有 ${0}；引用题目写作 ${{0}}" "the form has no ${0}: write references as ${{0}}";
    /// `instance()` of something computed.
    InstanceName "instance_name" "instance() 中要用引号写出数据表的名称" "instance() needs the name of a table in quotes";
    /// A function that this build does not have.
    UnknownFunction "unknown_function" "没有函数 {0}()" "there is no function {0}()";
    /// Too few or too many arguments.
    WrongArguments "wrong_arguments" "{0}() 不能有 {1} 个参数" "{0}() cannot take {1} arguments";
    /// A pattern that cannot be run.
    BadPattern "bad_pattern" "regex() 不能用“{0}”这样的模式" "regex() cannot use the pattern {0}";
    /// A choice's name of no question.
    ChoiceNameOfNothing "choice_name_of_nothing" "jr:choice-name() 没有指明表单中的题目" "jr:choice-name() names no question of the form";
    /// Wrong arguments of `indexed-repeat`.
    IndexedRepeat "indexed_repeat" "indexed-repeat() 的参数是题目，然后依次是重复组和行号" "indexed-repeat() takes a question, then repeats and row numbers in turn";
    /// A calculation that needs itself.
    Circular "circular" "计算绕成了一圈：这一项要用到它自己的结果" "the calculations go round in a circle: this one needs its own result";
    /// A data file that the form did not bring.
    PullDataUnknown "pull_data_unknown" "pulldata()：表单没有带来数据文件“{0}”" "pulldata(): the form brings no data file {0}";
    /// More nodes than an expression may gather.
    GathersTooMuch "gathers_too_much" "表达式涉及的数据太多，最多 {0} 项" "the expression gathers more than {0} nodes";
    /// A text that grows too long.
    ComputedText "computed_text" "表达式得出的文字太长，最多 {0} 字节" "the expression makes a text of more than {0} bytes";
    /// All calculations together make too much.
    ComputedTotal "computed_total" "各项计算的结果太长，合计最多 {0} 字节" "all calculations together make more than {0} bytes";
    /// A value where a path must be.
    ValueForPath "value_for_path" "此处应为题目或重复组，而不是一个值" "a path was expected where a value stands";
    /// A date format that is unknown.
    DateFormat "date_format" "format-date() 不认识 %{0}" "format-date() does not know %{0}";
    /// A date format that ends too early.
    DateFormatEnds "date_format_ends" "日期格式不能以 % 结尾" "a date format ends with a bare %";
    /// A digest that is broken or unknown.
    DigestAlgorithm "digest_algorithm" "digest()：{0} 不安全或不认识，请用 SHA-256" "digest(): {0} is broken or unknown; use SHA-256";
    /// An encoding that is unknown.
    DigestEncoding "digest_encoding" "digest()：不认识编码 {0}，请用 hex 或 base64" "digest(): the encoding {0} is unknown; use hex or base64";
    /// What the expression library says and this catalogue does not know.
    CannotCompute "cannot_compute" "表达式无法计算（{0}）" "the expression cannot be computed ({0})";
    }
}

/// What is wrong with a form, with what fills its places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FormFault {
    /// Which.
    pub kind: FaultKind,
    /// What fills its places, in order.
    pub args: Vec<String>,
}

impl FormFault {
    /// A fault without places.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, args: Vec::new() }
    }

    /// Fills the next place; at most 200 characters are shown.
    #[must_use]
    pub fn with(mut self, argument: impl fmt::Display) -> Self {
        self.args.push(argument.to_string().chars().take(ARGUMENT_CHARS_MAX).collect());
        self
    }

    /// The sentence in `language`: Chinese for `zh…` and `bo`, else English.
    #[must_use]
    pub fn text(&self, language: &str) -> String {
        filled(self.kind.template(reads_chinese(language)), &self.args)
    }
}

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("en"))
    }
}

#[cfg(test)]
mod tests;
