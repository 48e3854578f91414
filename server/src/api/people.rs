//! Users and staff lists.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use fieldbook_core::access::Role;
use fieldbook_core::ids::UserId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ProblemBody, language};
use super::session::Caller;
use super::{App, limited};
use crate::link;
use crate::store::{
    EnrolCode, Invited, LINK_DAYS, NewPerson, PEOPLE_MAX, PeopleList, PeopleQuery, Person, Problem, SHEET_DAYS,
    StaffEntry, StaffRow, Store, StoreError,
};

/// Bytes of a staff list.
pub(crate) const LIST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Users unless asked otherwise.
const PAGE_DEFAULT: usize = 50;
/// Roles of one user.
const ROLES_MAX: usize = 50;

/// Which users.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersParams {
    /// Code of a unit: only of it and all below.
    unit: Option<String>,
    /// In the name or the login.
    text: Option<String>,
    /// Only who has a role and no device.
    #[serde(default)]
    without_device: bool,
    /// `next` of the page before.
    after: Option<String>,
    /// Users, 1 to 200. Default 50.
    limit: Option<usize>,
}

/// A role to be given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantBody {
    /// Word of the role.
    role: String,
    /// Code of the unit; it holds for all below too.
    unit: String,
}

/// A user to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUserRequest {
    /// Name as shown.
    name: String,
    /// Login; drawn from the unit's code where there is none.
    login: Option<String>,
    /// Code of the unit.
    unit: String,
    /// Roles, at least one.
    roles: Vec<GrantBody>,
    /// Draw a first password. By default where a role uses the console.
    password: Option<bool>,
}

/// A user who was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct AddedUserBody {
    /// The user.
    user: Person,
    /// The first password, shown only now; to be changed at the first sign-in.
    password: Option<String>,
}

/// All roles that the user has then.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolesRequest {
    /// Roles, at least one.
    roles: Vec<GrantBody>,
}

/// Where a user goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferRequest {
    /// Code of the new unit.
    unit: String,
    /// The roles hold at the old unit as well until they are taken: what the user's phones still have to send is taken.
    #[serde(default)]
    keep_roles: bool,
}

/// A password.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordBody {
    /// Shown only now; to be changed at the next sign-in.
    password: String,
}

/// For how long an invitation works.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolmentRequest {
    /// Days, 1 to 30. Default 1.
    days: Option<u8>,
}

/// Who is invited anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolmentsRequest {
    /// Users, at most 2,000.
    users: Vec<String>,
    /// Days for which the links work, 1 to 30. Default 7.
    days: Option<u8>,
}

/// An invitation for a device.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentBody {
    /// The link, for one device. Shown only now.
    link: String,
    /// The same as a QR code: an SVG picture.
    qr_svg: String,
    /// Until when, milliseconds since 1970 UTC.
    expires_ms: i64,
}

/// A person of a staff list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaffEntryBody {
    /// Name as shown.
    name: String,
    /// Login; empty: one is drawn.
    #[serde(default)]
    login: String,
    /// Code of the unit.
    unit: String,
    /// Word of the role; empty: `field`.
    #[serde(default)]
    role: String,
}

/// The people of a staff list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaffRequest {
    /// At most 2,000.
    rows: Vec<StaffEntryBody>,
    /// Days for which the links work, 1 to 30. Default 7.
    days: Option<u8>,
}

/// Somebody who is to enrol a device: what their card on the printed sheet says.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitedBody {
    /// The user.
    id: String,
    /// Name as shown.
    name: String,
    /// Login.
    login: String,
    /// Code of the unit.
    unit: String,
    /// Name of the unit.
    unit_name: String,
    /// Words of the roles.
    roles: Vec<String>,
    /// The first password, where the person is new and a role uses the console. Shown only now.
    password: Option<String>,
    /// For a device.
    enrolment: EnrolmentBody,
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|_| Problem::new("user_unknown").with("user", text))
}

fn grants(bodies: Vec<GrantBody>) -> Result<Vec<(Role, String)>, Problem> {
    if bodies.len() > ROLES_MAX {
        return Err(Problem::new("request_malformed").with("detail", format!("roles: 1–{ROLES_MAX}")));
    }
    let words = || Role::ALL.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
    let grant = |GrantBody { role, unit }| match Role::from_word(&role) {
        Some(role) => Ok((role, unit)),
        None => Err(Problem::new("role_unknown").with("role", role).with("roles", words())),
    };
    let mut grants = bodies.into_iter().map(grant).collect::<Result<Vec<_>, _>>()?;
    grants.sort();
    grants.dedup();
    Ok(grants)
}

/// Where phones find the server.
fn address(store: &Store) -> Result<String, StoreError> {
    Ok(store.setting("address")?.ok_or_else(|| Problem::new("address_unset"))?)
}

fn invitation(store: &Store, address: &str, code: &EnrolCode) -> Result<EnrolmentBody, StoreError> {
    let link = link::enrolment(address, &store.identity().root_public(), &code.code);
    let qr_svg = link::svg_qr(&link)?;
    Ok(EnrolmentBody { link, qr_svg, expires_ms: code.expires_ms })
}

/// Users of the units that the caller supervises, by login.
#[utoipa::path(get, path = "/users", tag = "people", params(UsersParams), responses(
    (status = 200, body = PeopleList),
    (status = 404, body = ProblemBody, description = "`unit_unknown`")))]
pub(crate) async fn users(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<UsersParams>, QueryRejection>,
) -> Result<Json<PeopleList>, ApiError> {
    let Query(UsersParams { unit, text, without_device, after, limit }) = params?;
    let limit = limited(limit, PAGE_DEFAULT, PEOPLE_MAX)?;
    let query = PeopleQuery { unit, text, without_device, after, limit };
    Ok(Json(app.ask(move |store| store.people(caller.user.id, &query)).await?))
}

/// Adds a user.
#[utoipa::path(post, path = "/users", tag = "people", request_body = AddUserRequest, responses(
    (status = 200, body = AddedUserBody),
    (status = 403, body = ProblemBody, description = "`not_supervisor`, `role_above`"),
    (status = 404, body = ProblemBody, description = "`unit_unknown`"),
    (status = 409, body = ProblemBody, description = "`login_taken`"),
    (status = 422, body = ProblemBody,
        description = "`name_malformed`, `login_malformed`, `role_unknown`, `roles_missing`")))]
pub(crate) async fn add_user(
    State(app): State<App>,
    caller: Caller,
    body: Result<Json<AddUserRequest>, JsonRejection>,
) -> Result<Json<AddedUserBody>, ApiError> {
    let Json(AddUserRequest { name, login, unit, roles, password: wanted }) = body?;
    let new = NewPerson { name, login, unit, roles: grants(roles)? };
    let (user, password) = app.ask(move |store| store.add_person(caller.user.id, &new, wanted)).await?;
    Ok(Json(AddedUserBody { user, password }))
}

/// Replaces all roles of another user.
#[utoipa::path(put, path = "/users/{id}/roles", tag = "people", params(("id" = String, Path)),
    request_body = RolesRequest, responses(
        (status = 200, body = Person),
        (status = 403, body = ProblemBody, description = "`own_account`, `role_above`"),
        (status = 404, body = ProblemBody, description = "`user_unknown`, `unit_unknown`"),
        (status = 409, body = ProblemBody, description = "`last_supervisor`"),
        (status = 422, body = ProblemBody, description = "`role_unknown`, `roles_missing`")))]
pub(crate) async fn set_roles(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<RolesRequest>, JsonRejection>,
) -> Result<Json<Person>, ApiError> {
    let Json(RolesRequest { roles }) = body?;
    let (id, roles) = (user_id(&id)?, grants(roles)?);
    Ok(Json(app.ask(move |store| store.set_roles(caller.user.id, id, &roles)).await?))
}

/// Moves another user to a unit; the roles at the old unit go along. Phones enrol anew to write for the new unit.
#[utoipa::path(post, path = "/users/{id}/transfer", tag = "people", params(("id" = String, Path)),
    request_body = TransferRequest, responses(
        (status = 200, body = Person),
        (status = 403, body = ProblemBody, description = "`own_account`, `role_above`, `not_supervisor`"),
        (status = 404, body = ProblemBody, description = "`user_unknown`, `unit_unknown`"),
        (status = 409, body = ProblemBody, description = "`last_supervisor`")))]
pub(crate) async fn transfer_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<TransferRequest>, JsonRejection>,
) -> Result<Json<Person>, ApiError> {
    let Json(TransferRequest { unit, keep_roles }) = body?;
    let id = user_id(&id)?;
    Ok(Json(app.ask(move |store| store.transfer_user(caller.user.id, id, &unit, keep_roles)).await?))
}

/// Takes another user's second factor away: the next sign-in sets up a new one. Ends their sessions.
#[utoipa::path(post, path = "/users/{id}/reset-factor", tag = "people", params(("id" = String, Path)), responses(
    (status = 204, description = "Taken away"),
    (status = 403, body = ProblemBody, description = "`own_account`, `role_above`"),
    (status = 404, body = ProblemBody, description = "`user_unknown`")))]
pub(crate) async fn reset_factor(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = user_id(&id)?;
    app.ask(move |store| store.reset_factor_of(caller.user.id, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives another user a new password. Ends their sessions.
#[utoipa::path(post, path = "/users/{id}/reset-password", tag = "people", params(("id" = String, Path)), responses(
    (status = 200, body = PasswordBody),
    (status = 403, body = ProblemBody, description = "`own_account`, `role_above`"),
    (status = 404, body = ProblemBody, description = "`user_unknown`"),
    (status = 422, body = ProblemBody, description = "`roles_missing`: the user is disabled")))]
pub(crate) async fn reset_password(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PasswordBody>, ApiError> {
    let id = user_id(&id)?;
    let password = app.ask(move |store| store.reset_password_of(caller.user.id, id)).await?;
    Ok(Json(PasswordBody { password }))
}

/// Makes a link with which one device of the user enrols. A link that the user had and did not use works no longer.
#[utoipa::path(post, path = "/users/{id}/enrolment", tag = "people", params(("id" = String, Path)),
    request_body = EnrolmentRequest, responses(
        (status = 200, body = EnrolmentBody),
        (status = 403, body = ProblemBody, description = "`role_above`"),
        (status = 404, body = ProblemBody, description = "`user_unknown`"),
        (status = 409, body = ProblemBody, description = "`address_unset`"),
        (status = 422, body = ProblemBody,
            description = "`roles_missing`: the user is disabled; `days_out_of_range`")))]
pub(crate) async fn enrolment(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<EnrolmentRequest>, JsonRejection>,
) -> Result<Json<EnrolmentBody>, ApiError> {
    let Json(EnrolmentRequest { days }) = body?;
    let id = user_id(&id)?;
    let body = app.ask(move |store| {
        let address = address(store)?;
        invitation(store, &address, &store.enrolment_of(caller.user.id, id, days.unwrap_or(LINK_DAYS))?)
    });
    Ok(Json(body.await?))
}

/// Makes a new link for each of many users, all or none: for a sheet that was lost, or whose links have run out. Links that
/// they had and did not use work no longer.
#[utoipa::path(post, path = "/enrolments", tag = "people", request_body = EnrolmentsRequest, responses(
    (status = 200, body = Vec<InvitedBody>),
    (status = 403, body = ProblemBody, description = "`role_above`"),
    (status = 404, body = ProblemBody, description = "`user_unknown`"),
    (status = 409, body = ProblemBody, description = "`address_unset`"),
    (status = 422, body = ProblemBody,
        description = "`roles_missing`: a user is disabled; `staff_too_many`, `days_out_of_range`")))]
pub(crate) async fn enrolments(
    State(app): State<App>,
    caller: Caller,
    body: Result<Json<EnrolmentsRequest>, JsonRejection>,
) -> Result<Json<Vec<InvitedBody>>, ApiError> {
    let Json(EnrolmentsRequest { users, days }) = body?;
    let users = users.iter().map(|user| user_id(user)).collect::<Result<Vec<_>, _>>()?;
    let invited = app.ask(move |store| {
        let address = address(store)?;
        let invited = store.enrolments_of(caller.user.id, &users, days.unwrap_or(SHEET_DAYS))?;
        cards(store, &address, invited)
    });
    Ok(Json(invited.await?))
}

/// Takes all roles from another user, revokes their devices, and ends sessions and unused links.
#[utoipa::path(post, path = "/users/{id}/disable", tag = "people", params(("id" = String, Path)), responses(
    (status = 200, body = Person),
    (status = 403, body = ProblemBody, description = "`own_account`, `role_above`"),
    (status = 404, body = ProblemBody, description = "`user_unknown`"),
    (status = 409, body = ProblemBody, description = "`last_supervisor`")))]
pub(crate) async fn disable(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Person>, ApiError> {
    let id = user_id(&id)?;
    Ok(Json(app.ask(move |store| store.disable_user(caller.user.id, id)).await?))
}

/// What a staff list would do, row by row: a CSV file (UTF-8 or GB18030) or a workbook with the columns 姓名 (name),
/// 登录名 (login), 单位 (unit) and 角色 (role). Nothing is written.
#[utoipa::path(post, path = "/staff/previews", tag = "people",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
        (status = 200, body = Vec<StaffRow>),
        (status = 413, body = ProblemBody, description = "`upload_too_large`"),
        (status = 422, body = ProblemBody, description = "`staff_unreadable`, `staff_columns`, `staff_too_many`"),
        (status = 503, body = ProblemBody, description = "`busy`")))]
pub(crate) async fn preview_staff(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<StaffRow>>, ApiError> {
    let language = language(&headers);
    let body = body.map_err(|_| Problem::new("upload_too_large").with("max", LIST_BYTES_MAX))?;
    Ok(Json(app.ask(move |store| store.preview_staff(caller.user.id, &body, language)).await?))
}

/// Adds the people of a staff list, all or none; who is there already is left out. Each gets a link for a device.
#[utoipa::path(post, path = "/staff", tag = "people", request_body = StaffRequest, responses(
    (status = 200, body = Vec<InvitedBody>),
    (status = 409, body = ProblemBody, description = "`address_unset`"),
    (status = 422, body = ProblemBody, description = "`staff_row`, `staff_too_many`, `staff_passwords`, `days_out_of_range`"),
    (status = 503, body = ProblemBody, description = "`busy`")))]
pub(crate) async fn add_staff(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Json<StaffRequest>, JsonRejection>,
) -> Result<Json<Vec<InvitedBody>>, ApiError> {
    let language = language(&headers);
    let Json(StaffRequest { rows, days }) = body?;
    let entry = |StaffEntryBody { name, login, unit, role }| StaffEntry { name, login, unit, role };
    let rows: Vec<StaffEntry> = rows.into_iter().map(entry).collect();
    let added = app.ask(move |store| {
        let address = address(store)?;
        cards(store, &address, store.add_staff(caller.user.id, &rows, days.unwrap_or(SHEET_DAYS), language)?)
    });
    Ok(Json(added.await?))
}

fn cards(store: &Store, address: &str, invited: Vec<Invited>) -> Result<Vec<InvitedBody>, StoreError> {
    invited.into_iter().map(|one| card(store, address, one)).collect()
}

fn card(store: &Store, address: &str, invited: Invited) -> Result<InvitedBody, StoreError> {
    let Invited { enrolment, roles, unit_name, password } = invited;
    let invitation = invitation(store, address, &enrolment)?;
    let user = enrolment.user;
    Ok(InvitedBody {
        id: user.id.to_string(),
        name: user.name,
        login: user.login,
        unit: user.unit,
        unit_name,
        roles: roles.into_iter().map(|role| role.word().to_owned()).collect(),
        password,
        enrolment: invitation,
    })
}
