//! Puts the rooms together, starts them, drains them.

mod threads;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::runtime::Handle;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::importer::Importer;
use crate::importer::sink::{self, Sink};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::proxy::{self, Local, Proxy, SecondCopy, Stack};
use crate::replica::{self, Keep, Loading, NotKept, Replica};
use crate::routing::{Contexts, Home, MapError, ModeChange, ModeTable, Modes, Primary};
use crate::server::{self, BindError, Gate, Limits, Listener, ListenerConfig};
use crate::store::{self, Store};
use crate::telemetry;
use crate::upstream::{self, Registry};

pub use threads::{answering, upkeep};

/// Why an outpost does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The primary cannot be called with these settings.
    #[error("the settings of the primary cannot be used")]
    Primary(#[from] upstream::SetupError),
    /// The local registry cannot be called with these settings.
    #[error("the settings of the local registry cannot be used")]
    Local(#[source] upstream::SetupError),
    /// The contexts cannot be mapped so.
    #[error("the map of contexts cannot be used")]
    Contexts(#[from] Box<MapError>),
    /// The state directory cannot be used.
    #[error("the state cannot be opened")]
    Store(#[from] store::Error),
    /// The state is not one of ours.
    #[error("the state cannot be read")]
    State(#[from] replica::Unreadable),
    /// A port cannot be listened on.
    #[error("cannot listen")]
    Bind(#[from] BindError),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    outcome: &'static str,
}

/// What works inside, before anybody is let in.
struct Rooms {
    primary: Arc<Registry>,
    local: Option<Arc<Registry>>,
    store: Store,
    replica: Arc<Replica>,
    importer: Arc<Importer>,
    sink: Option<Sink>,
    proxy: Arc<Proxy>,
}

impl Rooms {
    fn open(config: &Config, metrics: &mut telemetry::Registry) -> Result<Self, StartError> {
        let counters = upstream::Counters::default();
        counters.register(metrics.room("upstream"));
        let contexts = Contexts::of(&config.contexts).map_err(Box::new)?;
        let local = local(config, &counters)?;
        let (primary, store, replica) = prepare(config, counters.clone(), &contexts)?;
        let named = Primary::behind(Arc::new(contexts), primary.clone());
        let importer =
            Arc::new(Importer::new(named.clone(), replica.clone(), &config.importer, config.primary.profile));
        importer.counters().register(metrics.room("importer"));
        let modes = Arc::new(Modes::of(modes(&store, config)?));
        let still = Arc::default();
        let beside = Beside { store: &store, replica: &replica, importer: &importer, modes: &modes, still: &still };
        let sink = beside.sink(config, counters)?;
        if let Some(sink) = &sink {
            sink.counters().register(metrics.room("sink"));
        }
        let parties = proxy::Parties {
            replica: replica.clone(),
            store: store.clone(),
            primary: named,
            local: local.clone().map(|local| Local::new(local, config.local.timeout)),
            second_copy: sink.clone().map(|sink| Arc::new(Second { sink, writes: config.local.writer }) as _),
            reread: importer.clone(),
            modes,
            still,
            metrics: proxy::Metrics::register(metrics.room("proxy")),
        };
        let proxy = Proxy::new(parties, &config.limits);
        Ok(Self { primary, local, store, replica, importer, sink, proxy })
    }
}

/// The second sink as the proxy knows it.
struct Second {
    sink: Sink,
    writes: bool,
}

impl SecondCopy for Second {
    fn is_in_step(&self, context: &Context) -> bool {
        self.sink.in_step(context)
    }

    /// Who only compares has nothing to withhold.
    fn withheld(&self, context: &Context) -> Option<QualifiedSubject> {
        let withheld = self.sink.withheld().into_iter().map(|one| QualifiedSubject::parse(&one.subject));
        withheld.filter(|_| self.writes).find(|subject| subject.context == *context)
    }
}

/// Who has to do with the second sink of the importer.
struct Beside<'a> {
    store: &'a Store,
    replica: &'a Arc<Replica>,
    importer: &'a Importer,
    modes: &'a Arc<Modes>,
    still: &'a Arc<RwLock<()>>,
}

impl Beside<'_> {
    /// The second sink, where there is a registry to import from and one to import into. Its way to the latter is one
    /// of its own: what it is told there, and how often it asks, is nothing to the clients.
    fn sink(&self, config: &Config, counters: upstream::Counters) -> Result<Option<Sink>, StartError> {
        if !config.primary.is_set() {
            return Ok(None);
        }
        let Some(local) = local(config, &counters)? else { return Ok(None) };
        let modes = Arc::clone(self.modes);
        let parties = sink::Parties {
            local,
            replica: Arc::clone(self.replica),
            store: self.store.clone(),
            importer: self.importer.clone(),
            is_primarys: Arc::new(move |scope| modes.home(scope) == Home::Primary),
            still: Arc::clone(self.still),
        };
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Some(Sink::new(parties, sink::Settings { writer: config.local.writer, name })?))
    }
}

/// A running outpost.
pub struct App {
    data: Vec<SocketAddr>,
    admin: SocketAddr,
    certificates: Vec<Arc<server::Certificate>>,
    reloads: Family<Reload, Counter>,
    stop: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    upkeep: Vec<JoinHandle<()>>,
    store: Store,
    proxy: Arc<Proxy>,
    drain: Duration,
}

impl App {
    /// Starts everything: the data port on the runtime of the caller, the importer and the admin port
    /// on `upkeep`, so that neither a large import nor a scrape slows a read.
    pub fn start(config: &Config, upkeep: &Handle) -> Result<Self, StartError> {
        let mut metrics = telemetry::Registry::new();
        let Rooms { primary, local, store, replica, importer, sink, proxy } = Rooms::open(config, &mut metrics)?;
        let sockets = server::Metrics::register(&mut metrics);
        let reloads = count_reloads(&mut metrics);
        let gate = Gate::new("data", &config.limits, &sockets);
        let listeners = bind_all(&config.listeners, &gate)?;
        let admin_gate = Gate::new("admin", &admin_limits(&config.limits), &sockets);
        let at_admin = ListenerConfig { bind: config.admin.bind, ..ListenerConfig::default() };
        let admin_listener = Listener::bind(&at_admin, &admin_gate)?;
        let stop = CancellationToken::new();
        let admin = Admin::new(admin::Parties {
            replica,
            store: store.clone(),
            primary,
            local,
            importer: importer.clone(),
            sink: sink.clone(),
            proxy: proxy.clone(),
            metrics,
            draining: stop.clone(),
        });
        let mut app = Self {
            data: listeners.iter().map(Listener::local_addr).collect(),
            admin: admin_listener.local_addr(),
            certificates: listeners.iter().filter_map(Listener::certificate).collect(),
            reloads,
            stop: stop.clone(),
            serving: Vec::new(),
            upkeep: Vec::new(),
            store,
            proxy: proxy.clone(),
            drain: config.limits.drain,
        };
        let last_call = CancellationToken::new();
        app.receive(listeners, &config.listeners, &Stack::around(proxy, last_call.clone()));
        if config.primary.is_set() {
            app.upkeep.push(upkeep.spawn(run_importer(importer, stop.clone())));
        }
        if let Some(sink) = sink {
            let stop = stop.clone();
            app.upkeep.push(upkeep.spawn(async move { sink.run(stop).await }));
        }
        // The admin port goes on while the data port drains: a probe must hear that it does.
        let closing = CancellationToken::new();
        app.upkeep.push(upkeep.spawn(admin_listener.serve(move |_| admin::Service(admin.clone()), closing.clone())));
        // Whoever still waits for the primary then is told so, rather than cut off.
        app.upkeep.push(upkeep.spawn(cancel_after(stop.clone(), last_call, config.limits.drain.mul_f64(0.8))));
        // Usually the process has ended before.
        app.upkeep.push(upkeep.spawn(cancel_after(stop, closing, config.limits.drain)));
        Ok(app)
    }

    /// Begins to serve the data port.
    fn receive(&mut self, listeners: Vec<Listener>, settings: &[ListenerConfig], stack: &Stack) {
        for (listener, settings) in listeners.into_iter().zip(settings) {
            let stack = stack.clone().bound_to(settings.context.as_deref().map(Context::named));
            self.serving.push(tokio::spawn(listener.serve(stack, self.stop.clone())));
        }
    }

    /// The addresses of the data port, in the order of the configuration.
    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.data
    }

    /// The address of the admin port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Reads the certificates again now; a broken one leaves the old one in place.
    pub fn reload_certificates(&self) {
        for certificate in &self.certificates {
            if let Err(failure) = certificate.reload() {
                tracing::error!(error = %telemetry::Chain(&failure), "the certificate was not reloaded; the old one stays");
            }
        }
    }

    /// Counts that the configuration was looked at again, and whether it could be used.
    pub fn reloaded(&self, ok: bool) {
        self.reloads.get_or_create(&Reload { outcome: if ok { "ok" } else { "failed" } }).inc();
    }

    /// Takes nothing new, finishes what is under way, and ends.
    pub async fn stop(self) {
        let end = tokio::time::Instant::now() + self.drain;
        self.stop.cancel();
        for serving in self.serving {
            // A task that panicked has nothing left to finish.
            let _ = serving.await;
        }
        // A write whose client is gone has its effect all the same, and that is to be kept.
        let _ = tokio::time::timeout_at(end, self.proxy.finish()).await;
        self.upkeep.iter().for_each(JoinHandle::abort);
        self.store.close();
    }
}

fn bind_all(listeners: &[ListenerConfig], gate: &Gate) -> Result<Vec<Listener>, BindError> {
    listeners.iter().map(|listener| Listener::bind(listener, gate)).collect()
}

fn count_reloads(metrics: &mut telemetry::Registry) -> Family<Reload, Counter> {
    let reloads = Family::default();
    metrics.room("app").register("reloads", "Times that the configuration was looked at again", reloads.clone());
    reloads
}

async fn run_importer(importer: Arc<Importer>, stop: CancellationToken) {
    importer.run(stop).await;
}

async fn cancel_after(stop: CancellationToken, end: CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
    end.cancel();
}

/// Few connections, small bodies: whoever asks is an operator or a probe.
fn admin_limits(limits: &Limits) -> Limits {
    Limits { connections: 64, body: bytesize::ByteSize::kib(64), drain: Duration::from_secs(1), ..limits.clone() }
}

/// Makes the way to the primary ready and reads the state, which is most of a start. Of the rest it is the certificates
/// that the system trusts, so they are read beside it.
fn prepare(
    config: &Config,
    counters: upstream::Counters,
    contexts: &Contexts,
) -> Result<(Arc<Registry>, Store, Arc<Replica>), StartError> {
    let (registry, opened) = thread::scope(|scope| {
        let runtime = Handle::current();
        let registry = scope.spawn(move || {
            let _inside = runtime.enter();
            if config.primary.is_set() {
                Registry::new(&config.primary, "primary")
            } else {
                Registry::nowhere("primary")
            }
        });
        let opened = open(&config.state, contexts);
        (registry.join().unwrap_or_else(|panic| resume_unwind(panic)), opened)
    });
    let primary = Arc::new(registry?.counting(counters));
    let (store, replica) = opened?;
    Ok((primary, store, replica))
}

/// The way to the registry that we stand beside, if there is one.
fn local(config: &Config, counters: &upstream::Counters) -> Result<Option<Arc<Registry>>, StartError> {
    if !config.local.is_set() {
        return Ok(None);
    }
    let registry = Registry::new(&config.local.way(), "local").map_err(StartError::Local)?;
    Ok(Some(Arc::new(registry.counting(counters.clone()))))
}

/// Under this key is kept through which map of contexts everything else was read.
const MAP: &str = "map";

fn open(config: &store::Config, contexts: &Contexts) -> Result<(Store, Arc<Replica>), StartError> {
    let store = Store::open(config)?;
    if !store.is_durable() {
        tracing::warn!("no state.directory is set: the replica lives in memory only and is lost at exit");
        return Ok((store, Arc::new(Replica::empty(replica::Forgetful))));
    }
    let (versions, others) =
        tables_of_the_replica().into_iter().partition::<Vec<_>, _>(|table| *table == store::Table::Versions);
    let (mut rows, known) = thread::scope(|scope| {
        let others = scope.spawn(|| rows_of(&store, &others));
        let (versions, _) = rows_of(&store, &versions)?;
        let (others, map) = others.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok::<_, StartError>((others.with_versions_of(versions), map))
    })?;
    let map = contexts.printed();
    if known.as_deref() != Some(&map) {
        // A state without that line was written before there were maps.
        let mut batch = if known.unwrap_or_default() == map { Vec::new() } else { removals(&store)? };
        if !batch.is_empty() {
            tracing::warn!(
                "the map of contexts has changed: what was read through another one is forgotten, and all is read again"
            );
            rows = Loading::default();
        }
        batch.push(store::Entry::put(store::Table::Meta, MAP, map));
        // Batches keep their order: whatever is kept from now on comes after it, and until it is kept every start
        // finds the old line.
        drop(store.commit(batch));
    }
    let replica = Replica::load(rows, Kept(store.clone()))?;
    Ok((store, Arc::new(replica)))
}

/// What takes everything away that was read.
fn removals(store: &Store) -> Result<Vec<store::Entry>, StartError> {
    let mut batch = Vec::new();
    store.load(&tables_of_the_replica(), |table, key, _| batch.push(store::Entry::remove(table, key)))?;
    Ok(batch)
}

fn tables_of_the_replica() -> Vec<store::Table> {
    store::Table::ALL.into_iter().filter(|table| kept_in(*table).is_some()).collect()
}

/// The rows of some tables, and the map if that is among them.
fn rows_of(store: &Store, tables: &[store::Table]) -> Result<(Loading, Option<String>), StartError> {
    let mut rows = Loading::default();
    let (mut map, mut first_problem) = (None, None);
    store.load(tables, |table, key, value| {
        if table == store::Table::Meta && key == MAP {
            map = Some(String::from_utf8_lossy(value).into_owned());
        } else if first_problem.is_none()
            && let Some(table) = kept_in(table)
        {
            first_problem = rows.row(table, key, value).err();
        }
    })?;
    first_problem.map_or(Ok((rows, map)), |problem| Err(problem.into()))
}

/// The store as the replica's keeper.
struct Kept(Store);

impl Keep for Kept {
    fn keep(&self, entries: Vec<replica::Entry>) -> BoxFuture<'_, Result<(), NotKept>> {
        let batch = entries.into_iter().map(|entry| store::Entry {
            table: keeps(entry.table),
            key: entry.key,
            value: entry.value.map(Into::into),
        });
        let commit = self.0.commit(batch.collect());
        Box::pin(async move { commit.await.map_err(|failure| NotKept(Box::new(failure))) })
    }
}

fn keeps(table: replica::Table) -> store::Table {
    match table {
        replica::Table::Versions => store::Table::Versions,
        replica::Table::Texts => store::Table::Texts,
        replica::Table::Remembered => store::Table::Remembered,
        replica::Table::Doubts => store::Table::Doubts,
        replica::Table::Meta => store::Table::Meta,
    }
}

/// Which of the replica's tables one of the store's is, if it is the replica's.
fn kept_in(table: store::Table) -> Option<replica::Table> {
    match table {
        store::Table::Versions => Some(replica::Table::Versions),
        store::Table::Texts => Some(replica::Table::Texts),
        store::Table::Remembered => Some(replica::Table::Remembered),
        store::Table::Doubts => Some(replica::Table::Doubts),
        store::Table::Meta => Some(replica::Table::Meta),
        store::Table::Modes | store::Table::Ledger => None,
    }
}

/// The modes that were set, over the one of the configuration.
fn modes(store: &Store, config: &Config) -> Result<ModeTable, StartError> {
    let mut set = Vec::new();
    store.load(&[store::Table::Modes], |_, key, value| set.push(ModeChange::kept(key, value)))?;
    let table = config.modes().with(&set);
    for (scope, mode, home) in table.homeless(|home| config.has(home)) {
        tracing::error!(scope = %scope.spelt(), %mode, ?home, "a mode is set whose registry is not configured: nothing is answered in its scope");
    }
    Ok(table)
}
