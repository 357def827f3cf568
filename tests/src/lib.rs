//! The black-box harness: everything that the suites in `tests/suite` need, and nothing that the worker uses.
//!
//! The two programs are run as a person would run them, on databases that the harness makes itself, and what they
//! wrote is compared with what a second, naive reading of the contract expects.
//! No file in here may depend on another crate of this workspace. The one thing shared is the source schema's SQL.
//!
//! | module | holds |
//! |---|---|
//! | [`scratch`] | temporary folders, and the watchdog that removes them whatever happens |
//! | [`cluster`] | a private PostgreSQL server |
//! | [`pooler`] | pgbouncer in front of it |
//! | [`server`] | which kind of server a test meets |
//! | [`tls`] | certificates of the tests' own |
//! | [`database`] | one empty database on either backend |
//! | [`roles`] | the programs as roles with few rights |
//! | [`process`] | running, killing and signalling the programs |
//! | [`shell`] | a line as a person would type it |
//! | [`source`] | rows as data, and how they get into a database |
//! | [`generate`] | seeded sources full of odd values |
//! | [`moment`], [`json`] | times and JSON read exactly, by hand |
//! | [`oracle`] | what the destinations must hold |
//! | [`compare`] | expected against found, row by row |
//! | [`journal`] | what the journal's tables say |
//! | [`dump`] | whole tables as text, for byte-for-byte comparison |
//! | [`standing`] | every row by its key, and which were lost, doubled, left over, changed |
//! | [`provenance`] | which rows the journal says were written, decoded a second time |
//! | [`service`] | an HTTP service that counts what it does |
//! | [`chromium`] | a browser without a window, and what it complains of |
//! | [`metrics`] | Prometheus's text format, read by its specification |
//! | [`prometheus`] | a Prometheus server that looks at it |
//! | [`collector`] | an OpenTelemetry collector that keeps what it is sent |
//! | [`application`] | what the live application does to the same tables meanwhile |
//! | [`live`] | the same as it goes on beside a migration |
//! | [`proxy`] | cutting, holding and slowing connections to PostgreSQL at the message one is told to |
//! | [`terminal`] | a pseudo-terminal, and what a person sees on it |
//! | [`tiny`] | a source for going through one run step by step, on PostgreSQL |
//! | [`torture`] | runs and rollbacks under faults drawn from seeds, and the account of what struck |
//! | [`bench`] | how fast the programs are beside what one would do instead, and what the foreground notices |
//! | [`scenario`] | a loaded source, the command that migrates it, and its end state |

pub mod application;
pub mod bench;
pub mod chromium;
pub mod cluster;
pub mod collector;
pub mod compare;
pub mod database;
pub mod dump;
pub mod generate;
pub mod journal;
pub mod json;
pub mod live;
pub mod metrics;
pub mod moment;
pub mod oracle;
pub mod pooler;
pub mod process;
pub mod prometheus;
pub mod provenance;
pub mod proxy;
pub mod random;
pub mod roles;
pub mod scenario;
pub mod scratch;
pub mod server;
pub mod service;
pub mod shell;
pub mod source;
pub mod standing;
pub mod terminal;
pub mod tiny;
pub mod tls;
pub mod torture;
