//! What users read when something fails: what happened and what to do, in Chinese and English.

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident $zh:literal $en:literal;)+) => {
        /// The sentences; `{0}` is what they are about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Text { $($(#[$doc])* $variant),+ }

        impl Text {
            fn template(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Text::$variant, Language::Chinese) => $zh, (Text::$variant, Language::English) => $en),+
                }
            }

            /// The sentence in `language`, about `about`.
            pub(crate) fn say(self, language: Language, about: &str) -> String {
                self.template(language).replace("{0}", about)
            }
        }
    };
}

/// Languages of the app's own sentences; forms bring their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// zh-Hans.
    #[default]
    Chinese,
    /// en.
    English,
}

impl Language {
    /// The language that a tag such as `zh-Hans`, `en-GB` or `bo` reads: Chinese unless it is English.
    #[must_use]
    pub fn of_tag(tag: &str) -> Self {
        if tag.starts_with("en") { Self::English } else { Self::Chinese }
    }

    /// The tag by which forms name it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-Hans",
            Self::English => "en",
        }
    }
}

catalogue! {
    /// The link could not be read.
    BadLink "这不是有效的绑定链接（{0}）。请重新扫描或复制管理员给的链接。" "This is no enrolment link ({0}). Scan or copy the administrator's link again.";
    /// Longer than any link.
    LinkTooLong "太长" "it is longer than any link";
    /// Another beginning.
    LinkStart "应以 fieldbook:// 开头" "it does not begin with fieldbook://";
    /// No path.
    LinkPath "主机和端口之后缺少 /enrol?" "/enrol? is missing after host and port";
    /// No address.
    LinkAddress "主机或端口有误" "its host or port is not valid";
    /// No pin.
    LinkPin "缺少 pin= 或其内容有误" "its pin= is missing or no key";
    /// No code.
    LinkCode "缺少 code= 或其内容不是 26 位字母和数字" "its code= is missing or not 26 letters and digits";
    /// The answer to an enrolment is too long.
    AnswerTooLong "应答太长" "it is too long";
    /// The server's key is somebody else's.
    KeyNotSigned "服务器的密钥没有经它的根密钥签名" "the server's key is not signed by its root";
    /// The phone has an owner already.
    AlreadyEnrolled "这台手机已经绑定给“{0}”。要换人使用，请先由管理员停用。" "This phone is enrolled for {0} already. To give it to someone else, an administrator must revoke it first.";
    /// The code is unknown, used, or too old.
    CodeRefused "绑定码无效、已经用过、已过期或已被新的代替。请向管理员要一个新的。" "The enrolment code is unknown, used, expired or replaced by a newer one. Ask the administrator for a new one.";
    /// The server's answer to an enrolment does not hold.
    BadEnrolment "服务器的绑定应答有误（{0}），没有绑定。请联系管理员。" "The server's enrolment answer does not hold ({0}); nothing was enrolled. Tell the administrator.";
    /// Not enrolled yet.
    NotEnrolled "这台手机还没有绑定。请扫描管理员给的二维码。" "This phone is not enrolled yet. Scan the QR code from the administrator.";
    /// The vault does not hold the key that was enrolled.
    KeyLost "手机密钥库里没有绑定时的密钥（手机恢复或复制过？），没有签名，也没有发送任何内容。请向管理员要新的绑定链接，重新绑定；没同步的内容不会丢。" "The vault does not hold the key that this phone was enrolled with (was the phone restored or copied?). Nothing was signed or sent. Ask the administrator for a new link and enrol again; unsynced work stays.";
    /// No connection.
    Unreachable "连不上服务器 {0}。已保存的内容不会丢，有信号时再试。" "The server {0} cannot be reached. What is saved stays; try again where there is signal.";
    /// The connection broke.
    Broken "与服务器 {0} 的连接断了。已传的不会重来，再试一次即可继续。" "The connection to {0} broke. What has arrived stays; try again to go on.";
    /// Somebody else's certificate.
    WrongServer "{0} 上的不是你绑定的服务器，没有发送任何内容。请换个网络再试。如果很久没有同步，服务器可能已换了根证书：请当面或打电话向管理员要新的绑定链接，重新绑定；没同步的内容不会丢。" "What answers at {0} is not the server that you enrolled with; nothing was sent. Try another network. If this phone has not synced for long, the server may have a new root key: ask the administrator, in person or by telephone, for a new link and enrol again; unsynced work stays.";
    /// Not a Fieldbook server.
    NotAServer "{0} 上的不是走访本服务器。可能需要先登录这个网络，或请管理员核对地址。" "What answers at {0} is no Fieldbook server. Sign in to this network first, or have the address checked.";
    /// The server answered with an error.
    ServerRefused "服务器没有接受（{0}）。请稍后再试，仍不行就联系管理员。" "The server did not accept this ({0}). Try again later; if it stays, tell the administrator.";
    /// The server is busy or down for a while.
    ServerBusy "服务器现在忙不过来。过一会儿再试，已保存的内容不会丢。" "The server cannot take more just now. Try again in a while; what is saved stays.";
    /// The server lost data.
    ServerRestored "服务器刚恢复过，等管理员确认后才能继续同步。已保存的内容不会丢。" "The server was restored and waits for its administrator. What is saved stays.";
    /// A hub lied or is broken.
    HubNotBelieved "乡镇站 {0} 给的内容对不上服务器的签名，一条也没有采用。请直接与服务器同步，并告诉管理员。" "What the township hub {0} showed does not fit the server's signatures; nothing of it was used. Sync with the server itself, and tell the administrator.";
    /// A hub is of use only after the server.
    ServerFirst "请先与服务器同步一次，再用乡镇站。已保存的内容不会丢。" "Sync with the server once before you use the township hub. What is saved stays.";
    /// A hub said no.
    HubRefused "乡镇站 {0} 现在不能用。已保存的内容不会丢，请直接与服务器同步。" "The township hub {0} cannot be used now. What is saved stays; sync with the server itself.";
    /// No hub there.
    HubUnreachable "连不上乡镇站 {0}。已保存的内容不会丢，到镇上再试，或直接与服务器同步。" "The township hub {0} cannot be reached. What is saved stays; try again at the township, or sync with the server itself.";
    /// The line to a hub broke.
    HubBroken "与乡镇站 {0} 的连接断了。再试一次即可继续。" "The connection to the township hub {0} broke. Try again to go on.";
    /// Something else listens there.
    NotAHub "{0} 上的不是本县服务器认可的乡镇站，没有发送任何内容。请核对地址，或联系管理员。" "What answers at {0} is no township hub of your server; nothing was sent. Check the address, or tell the administrator.";
    /// No address of a hub.
    BadHub "“{0}”不是乡镇站地址，应为“主机:端口”。" "{0} is no address of a township hub: it should be HOST:PORT.";
    /// Device revoked.
    Revoked "这台手机已被停用：没同步的内容已交给服务器，等主管审核；手机上的数据已清除。要再用，请向管理员要新的绑定链接。" "This phone has been revoked: what it had not synced is on the server, where a supervisor decides; its data here was erased. To use it again, ask the administrator for a new link.";
    /// Device unknown.
    UnknownDevice "服务器不认识这台手机。请联系管理员重新绑定。" "The server does not know this phone. Ask the administrator to enrol it again.";
    /// Another protocol version.
    NeedsUpdate "这个版本的走访本太旧或太新，服务器不能用。请更新。" "This version does not fit the server's. Please update.";
    /// No kind of this name.
    UnknownKind "没有“{0}”这种表。先同步一次，或核对名称。" "There is no kind {0}. Sync first, or check the name.";
    /// No record of this id.
    UnknownRecord "这台手机上没有档案 {0}。" "This phone holds no record {0}.";
    /// The id belongs to a record already.
    RecordExists "档案 {0} 已经存在；要修改请用编辑。" "Record {0} exists already; edit it instead.";
    /// Another kind than the record's.
    OtherKind "这份档案不是“{0}”。" "This record is no {0}.";
    /// A record that was erased.
    Purged "档案 {0} 已被永久删除，不能再写。" "Record {0} was erased for good and cannot be written.";
    /// A record was purged, and unsent changes of it went too.
    ErasedUnsent "档案 {0} 已被主管永久删除，这台手机上的也已删除，包括还没上传的修改。有疑问请联系县级工会。" "Record {0} was erased for good by a supervisor, also on this phone, with changes that had not been sent. Ask the county union if in doubt.";
    /// A record was purged.
    Erased "档案 {0} 已被主管永久删除，这台手机上的也已删除。" "Record {0} was erased for good by a supervisor, also on this phone.";
    /// A path that is none.
    BadPath "“{0}”不是字段路径。" "{0} is no field path.";
    /// Resolving without a conflict.
    NoConflict "“{0}”没有分歧，不用选。" "There is no conflict at {0}.";
    /// The form's rules could not be run.
    BadForm "表单不能用（{0}）。请告诉管理员。" "The form cannot be used ({0}). Tell the administrator.";
    /// One open form a record.
    FormOpen "这份档案正在另一处填写。请先保存或放弃。" "This record is open in another form. Save or discard it first.";
    /// The form was saved or discarded.
    FormClosed "这张表已经保存或放弃，请重新打开。" "This form was saved or discarded; open it again.";
    /// Too many unsent saves on one record.
    OutboxFull "这份档案有太多没同步的修改，请先同步。" "This record has too many unsynced saves. Sync first.";
    /// Another process holds the store.
    InUse "走访本的数据正被另一个程序使用。关掉它再试。" "Fieldbook's data is in use by another program. Close it and try again.";
    /// Disk full.
    Full "手机空间满了，这次没有保存。清理一些空间后再试。" "The phone is full: this was not saved. Free some space and try again.";
    /// Little space left.
    SpaceLow "手机只剩 {0} 空间了。请清理照片、视频或不用的应用，否则很快就不能再保存。" "Only {0} of space is left on the phone. Free some soon, or nothing more can be saved.";
    /// The storage fails, and not for want of space.
    Storage "手机存储读写出错（{0}），这一步没有保存，以前保存的还在。请再试一次；还不行就重启手机。反复出错时请尽快同步并告诉管理员，不要卸载走访本。" "The phone's storage failed ({0}): this step was not saved, what was saved before stays. Try again; if it fails again, restart the phone. If it keeps failing, sync soon and tell the administrator; do not uninstall the app.";
    /// Key does not fit.
    WrongKey "数据打不开：密钥不对。数据没有动，请联系管理员。" "The data cannot be opened: the key does not fit. Nothing was changed; tell the administrator.";
    /// Damaged file.
    Damaged "数据文件坏了（{0}），已另存，没有删除。请联系管理员，再次打开会用能救出的部分。" "The data file is damaged ({0}); it was set aside, not deleted. Tell the administrator; opening again uses what could be saved.";
    /// Store from a newer app.
    NewerStore "数据是更新版本的走访本写的。请更新走访本。" "The data was written by a newer version. Please update.";
    /// The vault failed.
    Vault "手机的密钥库不能用（{0}）。解锁手机后再试。" "The phone's key vault failed ({0}). Unlock the phone and try again.";
    /// The record cannot be written.
    NotWritable "“{0}”不能这样写。" "{0} cannot be written like this.";
    /// Cancelled by the user.
    Cancelled "已停止。已传的不会重来。" "Stopped. What has arrived stays.";
    /// Our own mistake.
    Internal "走访本内部出错，这一步没有完成（{0}）。已保存的内容不会丢，请告诉管理员。" "Something failed inside; this step was not done ({0}). What is saved stays; tell the administrator.";
    /// The clock is wrong.
    ClockWrong "手机时间不对，与服务器差 {0}。请校准：设置 → 日期和时间 → 自动。" "The phone's clock is wrong by {0}. Set it right: Settings, Date and time, Automatic.";
}
