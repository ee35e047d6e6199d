//! From a request to its answer: routing, negotiation, the handler, and the answer's head.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::media::{self, Unacceptable};
use schema_outpost::protocol::operation::{Misdirected, Operation};

use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::profile::Profile;
use crate::state::State;
use crate::{associations, compatibility, configs, contexts, keys, modes, register, schemas, subjects, tags, web};

/// A request as it came from the socket.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) dek_registry: bool,
}

/// Answers a request.
pub(crate) fn answer(state: &mut State, profile: Profile, now: i64, asked: &Asked<'_>) -> Response<Bytes> {
    let mut response = route(state, profile, now, asked);
    if profile == Profile::Poor && response.body() == "[]" {
        *response.body_mut() = Bytes::from_static(b"null");
    }
    if response.extensions_mut().remove::<Unhandled>().is_some() {
        return response;
    }
    let headers = response.headers_mut();
    let is_page = headers.contains_key(CACHE_CONTROL);
    if matches!(*asked.method, Method::GET | Method::POST) && !is_page && !media::is_compressed_by_name(asked.path) {
        headers.insert("Vary", HeaderValue::from_static("Accept-Encoding"));
    }
    headers.insert("X-Request-ID", request_id(asked.headers));
    response
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all("X-Request-ID").iter();
    match (given.next(), given.next()) {
        (Some(one), None) if !one.as_bytes().trim_ascii().is_empty() => one.clone(),
        _ => HeaderValue::try_from(uuid::Uuid::new_v4().to_string()).expect("BUG: a UUID is a header value"),
    }
}

fn route(state: &mut State, profile: Profile, now: i64, asked: &Asked<'_>) -> Response<Bytes> {
    let operation = match Operation::classify(asked.method, asked.path, asked.query) {
        Ok(operation) => operation,
        Err(misdirected) => return misdirection(&misdirected, asked),
    };
    if is_unknown(operation.route, asked.dek_registry) || lacks(profile, operation.route) {
        return refusal(&Failure::not_found(), None);
    }
    let media_type = match media::admit(asked.headers).and_then(|()| media::negotiate(asked.headers)) {
        Ok(media_type) => media_type,
        Err(why) => return unacceptable(why, asked),
    };
    let shape = profile.shape(asked.headers);
    let call = Call { operation: &operation, body: asked.body, shape, profile, now };
    match dispatch(state, &call) {
        Ok(reply) => given(reply, media_type),
        Err(failure) => refusal(&failure, Some(media_type)),
    }
}

fn is_unknown(route: Route, dek_registry: bool) -> bool {
    use Route as R;
    match route {
        R::UnknownRead | R::UnknownWrite | R::Exporters | R::Importers => true,
        R::DekRead | R::DekWrite => !dek_registry,
        _ => false,
    }
}

/// What a poorer registry does not have.
fn lacks(profile: Profile, route: Route) -> bool {
    let newer = matches!(route, Route::SchemaByGuid | Route::IdsByGuid | Route::DeleteContext);
    let missing = matches!(
        route,
        Route::Schemas
            | Route::Contexts
            | Route::GlobalMode
            | Route::UpdateGlobalMode
            | Route::DeleteGlobalMode
            | Route::SubjectMode
            | Route::UpdateSubjectMode
            | Route::DeleteSubjectMode
    );
    match profile {
        Profile::Confluent8 | Profile::Cloud => false,
        Profile::Confluent7 => newer,
        Profile::Poor => newer || missing,
        Profile::OwnIds => newer,
    }
}

fn given(reply: Reply, media_type: HeaderValue) -> Response<Bytes> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Bytes::from(reply.body));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

fn refusal(failure: &Failure, media_type: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(failure.body()));
    *response.status_mut() = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(media_type) = media_type {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

fn unacceptable(why: Unacceptable, asked: &Asked<'_>) -> Response<Bytes> {
    match why {
        Unacceptable::Accept => refusal(&Failure::new(406, 406, why.to_string()), None),
        Unacceptable::ContentType => {
            refusal(&Failure::new(415, 415, why.to_string()), Some(media::of_refusal(asked.headers)))
        }
        Unacceptable::Unparseable
            if is_readable(asked.headers) && matches!(*asked.method, Method::GET | Method::POST) =>
        {
            let json = HeaderValue::from_static("application/json");
            let mut response = refusal(&Failure::bad_request(why.to_string()), Some(json));
            response.headers_mut().insert(CACHE_CONTROL, NEVER);
            response
        }
        Unacceptable::Unparseable => {
            let mut response = empty(StatusCode::BAD_REQUEST);
            // Only what is read or posted gets the page's headers; the page itself is empty either way.
            if !matches!(*asked.method, Method::GET | Method::POST) {
                response.headers_mut().remove(CACHE_CONTROL);
            }
            response
        }
    }
}

/// Whether what is wrong with Accept is a type or a weight, not the form of the list.
fn is_readable(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let weight = accept.split(";q=").nth(1);
    accept.trim() != ","
        && weight.is_none_or(|weight| weight.starts_with(|first: char| first.is_ascii_digit() || first == '.'))
}

/// An answer of Jetty's own error page, for clients that accept neither HTML nor JSON.
fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NEVER);
    response
}

const NEVER: HeaderValue = HeaderValue::from_static("must-revalidate,no-cache,no-store");

/// Marks an answer that Jetty gives before any of the handlers that add headers.
#[derive(Clone, Copy)]
struct Unhandled;

fn unhandled(mut response: Response<Bytes>) -> Response<Bytes> {
    response.extensions_mut().insert(Unhandled);
    response
}

fn misdirection(misdirected: &Misdirected, asked: &Asked<'_>) -> Response<Bytes> {
    match misdirected {
        Misdirected::Malformed(why) => {
            let target = if asked.query.is_empty() { asked.path } else { &format!("{}?{}", asked.path, asked.query) };
            unhandled(web::misread(*why, asked.method, target, asked.headers))
        }
        Misdirected::Context(_) => refusal(&Failure::bad_request(misdirected.to_string()), None),
        Misdirected::NotFound => refusal(&Failure::not_found(), None),
        Misdirected::Method => refusal(&Failure::new(405, 405, misdirected.to_string()), None),
        Misdirected::Options(methods) => options(methods, asked),
    }
}

fn options(methods: &str, asked: &Asked<'_>) -> Response<Bytes> {
    let plain = asked.headers.get(http::header::ACCEPT).is_none_or(|accept| accept == "*/*");
    let body = if plain { methods.replace(',', ", ") } else { String::new() };
    let mut response = Response::new(Bytes::from(body));
    let media_type = if plain {
        HeaderValue::from_static("text/plain")
    } else {
        media::negotiate(asked.headers).unwrap_or(media::DEFAULT)
    };
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    if let Ok(methods) = HeaderValue::try_from(methods) {
        response.headers_mut().insert(http::header::ALLOW, methods);
    }
    response
}

fn dispatch(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    use Route as R;
    // Numbers in the query are read before anybody looks for what the path names.
    if call.operation.parameters().any(|(name, _)| matches!(name, "offset" | "limit")) {
        call.window()?;
    }
    match call.route() {
        R::Root => Ok(Reply::ok("{}")),
        R::RootPost => crate::about::root(call),
        R::ClusterId => Ok(crate::about::cluster_id()),
        R::ServerVersion => Ok(crate::about::version()),
        R::Deployment => Ok(Reply::ok("{\"attributes\":[]}")),
        R::SchemaTypes => Ok(Reply::ok("[\"JSON\",\"PROTOBUF\",\"AVRO\"]")),
        R::Schemas => schemas::list(state, call),
        R::SchemaById => schemas::by_id(state, call),
        R::SchemaTextById => schemas::text_by_id(state, call),
        R::SubjectsById => schemas::subjects_by_id(state, call),
        R::VersionsById => schemas::versions_by_id(state, call),
        R::SchemaByGuid => schemas::by_guid(state, call),
        R::IdsByGuid => Ok(schemas::ids_by_guid(state, call)),
        R::Subjects => subjects::list(state, call),
        R::Lookup => register::look_up(state, call),
        R::DeleteSubject => subjects::delete(state, call),
        R::Versions => subjects::versions(state, call),
        R::Register => register::register(state, call),
        R::Version => subjects::version(state, call),
        R::DeleteVersion => subjects::delete_version(state, call),
        R::VersionText => subjects::version_text(state, call),
        R::ReferencedBy => subjects::referenced_by(state, call),
        R::ModifyTags => tags::modify(state, call),
        R::LatestWithMetadata => subjects::latest_with_metadata(state, call),
        R::TestCompatibility | R::TestCompatibilityAll => compatibility::test(state, call),
        R::GlobalConfig | R::SubjectConfig => configs::get(state, call),
        R::UpdateGlobalConfig | R::UpdateSubjectConfig => configs::update(state, call),
        R::DeleteGlobalConfig | R::DeleteSubjectConfig => configs::delete(state, call),
        R::GlobalMode | R::SubjectMode => modes::get(state, call),
        R::UpdateGlobalMode | R::UpdateSubjectMode => modes::update(state, call),
        R::DeleteGlobalMode | R::DeleteSubjectMode => modes::delete(state, call),
        R::Contexts => contexts::list(state, call),
        R::DeleteContext => contexts::delete(state, call),
        R::AssociationsBySubject => associations::by_subject(state, call),
        R::AssociationsByResource => associations::by_resource(state, call),
        R::AssociationsByName => associations::by_name(state, call),
        R::BatchGetAssociations => associations::batch_get(state, call),
        R::CreateAssociation => associations::create(state, call),
        R::UpdateAssociation => associations::update(state, call),
        R::DeleteAssociations => associations::delete(state, call),
        R::BatchMutateAssociations => associations::batch_mutate(state, call),
        R::DekRead | R::DekWrite => keys::answer(state, call),
        _ => Err(Failure::not_found()),
    }
}
