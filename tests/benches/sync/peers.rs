//! What four well-known stacks need for the same scenarios at N = 2,000: measured once, on an earlier day, on a machine
//! of the same kind, without TLS. Their sizes are TCP payload in kB; `None` was not measured.

/// One stack.
pub struct Peer {
    pub name: &'static str,
    /// kB, round trips with the TCP handshake, seconds on the slow line, of S1, S2 and S3.
    pub scenarios: [Figures; 3],
    /// Client CPU of S1 and S3, seconds.
    pub cpu_s: [f64; 2],
    /// Client's largest resident size through S1, MiB.
    pub peak_mib: u32,
    /// Of 20 other fields, 10 visits, and 5 fields whose two values can be read.
    pub kept: [u32; 3],
}

/// Of one scenario.
pub struct Figures {
    pub kb: f64,
    pub round_trips: u32,
    /// As printed: some were stopped and estimated.
    pub slow_s: &'static str,
}

const fn of(kb: f64, round_trips: u32, slow_s: &'static str) -> Figures {
    Figures { kb, round_trips, slow_s }
}

/// PouchDB and RxDB with batches of 1,000, automerge-repo with its ping at 600 s: each at its best.
pub const PEERS: [Peer; 4] = [
    Peer {
        name: "PouchDB 9, express-pouchdb",
        scenarios: [of(1_704.0, 11, "230"), of(5.3, 6, "4.1"), of(245.0, 7, "21")],
        cpu_s: [0.69, 0.11],
        peak_mib: 147,
        kept: [10, 5, 5],
    },
    Peer {
        name: "RxDB 17, own endpoints",
        scenarios: [of(1_382.0, 4, "188"), of(0.44, 2, "1.2 (est.)"), of(301.0, 2, "29 (est.)")],
        cpu_s: [0.27, 0.08],
        peak_mib: 120,
        kept: [10, 5, 0],
    },
    Peer {
        name: "Yjs 13, Hocuspocus 3",
        scenarios: [of(7_142.0, 4, "928 (est.)"), of(470.0, 3, "31"), of(594.0, 3, "41")],
        cpu_s: [1.47, 0.49],
        peak_mib: 217,
        kept: [20, 10, 0],
    },
    Peer {
        name: "automerge-repo 2.5",
        scenarios: [of(5_291.0, 4, "623 (est.)"), of(702.0, 4, "55"), of(1_107.0, 4, "88")],
        cpu_s: [17.0, 2.23],
        peak_mib: 389,
        kept: [20, 10, 5],
    },
];
