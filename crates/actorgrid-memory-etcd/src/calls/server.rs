//! Calls about the server itself.

use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::wire::alarm_request::AlarmAction;
use crate::wire::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, AuthenticateRequest, AuthenticateResponse,
    Member, MemberListRequest, MemberListResponse, StatusRequest, StatusResponse,
};

/// The version of etcd whose behavior this is.
const VERSION: &str = "3.6.16";
const STORAGE_VERSION: &str = "3.6.0";
/// The size of an empty database: clients divide by it.
const EMPTY_BYTES: usize = 20 * 1024;

/// Reports the version and the state of the member.
pub(crate) fn status(state: &mut EtcdState, _: &StatusRequest) -> StatusResponse {
    let bytes = i64::try_from(EMPTY_BYTES + state.store.bytes()).unwrap_or(i64::MAX);
    // Every change is one entry of the log, more or less.
    let index = u64::try_from(state.store.revision()).unwrap_or_default();
    StatusResponse {
        header: Some(state.header()),
        version: VERSION.to_owned(),
        db_size: bytes,
        leader: state.identity.member,
        raft_index: index,
        raft_term: state.identity.raft_term,
        raft_applied_index: index,
        errors: Vec::new(),
        db_size_in_use: bytes,
        is_learner: false,
        storage_version: STORAGE_VERSION.to_owned(),
        db_size_quota: i64::try_from(state.bounds.max_bytes).unwrap_or(i64::MAX),
    }
}

/// Lists the alarms, or switches the one of a full storage. It is the only one.
pub(crate) fn alarm(state: &mut EtcdState, request: &AlarmRequest) -> AlarmResponse {
    let is_asked = matches!(request.alarm(), AlarmType::Nospace | AlarmType::None);
    let was_full = state.faults.full;
    match request.action() {
        AlarmAction::Activate if request.alarm() == AlarmType::Nospace => state.faults.full = true,
        AlarmAction::Deactivate if is_asked => state.faults.full = false,
        _ => {}
    }
    let alarm = AlarmMember {
        member_id: state.identity.member,
        alarm: AlarmType::Nospace.into(),
    };
    // The reply lists what is switched off, too.
    let is_listed = is_asked && (was_full || state.faults.full);
    AlarmResponse {
        header: Some(state.header()),
        alarms: is_listed.then_some(alarm).into_iter().collect(),
    }
}

/// Lists the members: this one.
pub(crate) fn member_list(state: &mut EtcdState, _: &MemberListRequest) -> MemberListResponse {
    let identity = &state.identity;
    let member = Member {
        id: identity.member,
        name: identity.name.clone(),
        peer_ur_ls: Vec::new(),
        client_ur_ls: identity.client_urls.clone(),
        is_learner: false,
    };
    MemberListResponse {
        header: Some(state.header()),
        members: vec![member],
    }
}

/// Returns a token for the user.
pub(crate) fn authenticate(
    state: &mut EtcdState,
    request: &AuthenticateRequest,
) -> Result<AuthenticateResponse, EtcdError> {
    let EtcdState {
        access, numbers, ..
    } = state;
    let token = access.authenticate(numbers, &request.name, &request.password)?;
    Ok(AuthenticateResponse {
        header: Some(state.header()),
        token,
    })
}
