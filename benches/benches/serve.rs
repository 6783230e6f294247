//! The HTTP server against MLflow's scoring server: the same 100 trees, the same requests, in the same run.
//!
//! ```sh
//! python3 -m venv peers && peers/bin/pip install mlflow==3.17.2 scikit-learn==1.9.1
//! MLOPS_BENCH_PYTHON=peers/bin/python cargo bench -p mlops-benches --bench serve
//! ```
//!
//! Each server and the load generator are processes of their own, on the loopback address. The generator keeps 1, 16 and 64
//! connections open and sends the next request on each when the answer is there: one row of 20 numbers as `dataframe_split` to
//! `/invocations`. Answers are compared before anything is timed. Without `MLOPS_BENCH_PYTHON` only our own figures are printed, for
//! trees made here. `MLOPS_BENCH_SECONDS` (default 5) is the length of each measurement.
#![allow(missing_docs)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, Table};
use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec, TrafficChange, TrafficSplit};
use mlops_core::local::LocalStore;
use mlops_core::model::{ModelFormat, ModelLoader as _};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::http::{Access, ServedEndpoint, Server};
use mlops_core::serve::{BuiltinLoader, EncoderOptions, FeatureEncoder, ForestPredictor, Node, Tree};
use mlops_core::{IdempotencyKey, Result};

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FEATURES: usize = 20;
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// What one measurement gave.
#[derive(Clone, Copy, Debug)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", folder] => serve(Path::new(folder)),
        [_, "load", address, connections, seconds] => {
            load(address.parse()?, connections.parse()?, Duration::from_secs(seconds.parse()?))
        }
        _ => compare(),
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Its input ends, and so does it; it may have ended already.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Starts a server that prints its address on a line of its own.
fn server(command: &mut Command) -> Outcome<(Process, SocketAddr)> {
    let mut child = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let output = child.0.stdout.take().ok_or("no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.parse() {
            Ok(address) => return Ok((child, address)),
            Err(_) => println!("{line}"),
        }
    }
    Err("the server ended before it served".into())
}

fn compare() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let seconds = std::env::var("MLOPS_BENCH_SECONDS").unwrap_or_else(|_| "5".to_owned());
    let python = std::env::var("MLOPS_BENCH_PYTHON").ok();
    let peer = match &python {
        // It trains the model, leaves it in the folder in our format, and serves it.
        Some(python) => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/serve.py");
            Some(server(Command::new(python).arg(script).arg(folder.path()))?)
        }
        None => {
            std::fs::write(folder.path().join("model.json"), made()?)?;
            None
        }
    };
    let ours = server(Command::new(std::env::current_exe()?).arg("serve").arg(folder.path()))?;
    let answer = predictions(ours.1, &request(0))?;
    if let Some((_, address)) = &peer {
        for row in 0..50 {
            let (one, other) = (predictions(ours.1, &request(row))?, predictions(*address, &request(row))?);
            assert!((one - other).abs() <= 1e-9 * one.abs().max(1.0), "row {row}: {one}, MLflow {other}");
        }
        println!("50 answers agree to 1e-9");
    }
    println!("the first answer is {answer}; {seconds} s each\n");
    println!("{:>11} {:>22} {:>12} {:>9} {:>9}", "connections", "server", "requests/s", "p50 ms", "p99 ms");
    for connections in CONNECTIONS {
        let mut measured = Vec::new();
        for (name, address) in
            [("mlops", Some(ours.1)), ("MLflow", peer.as_ref().map(|(_, address)| *address))]
        {
            let Some(address) = address else { continue };
            let figures = generate(address, connections, &seconds)?;
            let Figures { per_second, p50, p99 } = figures;
            println!("{connections:>11} {name:>22} {per_second:>12.0} {p50:>9.3} {p99:>9.3}");
            measured.push(figures);
        }
        if let [ours, theirs] = measured[..] {
            let (rate, tail) = (ours.per_second / theirs.per_second, theirs.p99 / ours.p99);
            println!("{:>11} {:>22} {rate:>11.1}x {:>9} {tail:>8.1}x", "", "times better", "");
        }
    }
    Ok(())
}

/// Runs the load generator.
fn generate(address: SocketAddr, connections: usize, seconds: &str) -> Outcome<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["load", &address.to_string(), &connections.to_string(), seconds]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    match numbers[..] {
        [per_second, p50, p99] => Ok(Figures { per_second, p50, p99 }),
        _ => {
            Err(format!("the load generator failed: {text}{}", String::from_utf8_lossy(&output.stderr))
                .into())
        }
    }
}

/// A row of numbers that 32 bits hold, as a request.
fn request(row: u64) -> Vec<u8> {
    let mut random = Random::new(7).nth(row);
    let values: Vec<String> =
        (0..FEATURES).map(|_| f64::from((random.next_f64() * 10.0) as f32).to_string()).collect();
    let columns: Vec<String> = (0..FEATURES).map(|i| format!("\"x{i}\"")).collect();
    let body = format!(
        r#"{{"dataframe_split":{{"columns":[{}],"data":[[{}]]}}}}"#,
        columns.join(","),
        values.join(",")
    );
    let head = "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One connection, asked again and again.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// The body of the answer, which must be a good one.
    fn ask(&mut self, request: &[u8]) -> Outcome<&[u8]> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let n = self.stream.read(&mut self.buffer[filled..])?;
            if n == 0 {
                return Err("the server hung up".into());
            }
            filled += n;
            let Some(head) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("an answer without a length")?.parse()?;
            if filled >= head + 4 + length {
                let good = text.starts_with("http/1.1 200");
                let body = &self.buffer[head + 4..filled];
                return if good { Ok(body) } else { Err(String::from_utf8_lossy(body).into()) };
            }
        }
    }
}

fn predictions(address: SocketAddr, request: &[u8]) -> Outcome<f64> {
    let mut connection = Connection::open(address)?;
    let body: serde_json::Value = serde_json::from_slice(connection.ask(request)?)?;
    body["predictions"][0].as_f64().ok_or_else(|| format!("no prediction: {body}").into())
}

/// The load generator: a thread for each connection, and its latencies.
fn load(address: SocketAddr, connections: usize, length: Duration) -> Outcome<()> {
    let run = move |worker: usize| -> std::result::Result<Vec<f64>, String> {
        let requests: Vec<Vec<u8>> = (0..64).map(|i| request((worker * 64 + i) as u64)).collect();
        let mut connection = Connection::open(address).map_err(|e| e.to_string())?;
        let mut latencies = Vec::new();
        // A tenth of the time to warm up.
        let (began, warm) = (Instant::now(), length / 10);
        for request in requests.iter().cycle() {
            let sent = Instant::now();
            connection.ask(request).map_err(|e| e.to_string())?;
            let (elapsed, latency) = (began.elapsed(), sent.elapsed());
            if elapsed >= warm + length {
                break;
            }
            if elapsed >= warm {
                latencies.push(latency.as_secs_f64() * 1e3);
            }
        }
        Ok(latencies)
    };
    let workers: Vec<_> = (0..connections).map(|worker| std::thread::spawn(move || run(worker))).collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.join().map_err(|_| "a worker panicked")??);
    }
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied();
    let (p50, p99) = (at(50).ok_or("no answers")?, at(99).ok_or("no answers")?);
    println!("{} {p50} {p99}", all.len() as f64 / length.as_secs_f64());
    Ok(())
}

/// 100 trees of 32 leaves over 20 numbers, made up.
fn made() -> Result<Vec<u8>> {
    let mut random = Random::new(1);
    let columns: Vec<String> = (0..FEATURES).map(|i| format!("x{i}")).collect();
    let table =
        columns.iter().map(|name| Column::f64(name.clone(), vec![0.0, 1.0])).collect::<Result<Vec<_>>>()?;
    let encoder = FeatureEncoder::fit(&Table::new(table)?, &columns, &EncoderOptions::raw())?;
    let mut tree = || {
        let node = |at: u32| {
            if at >= 31 {
                return Node::Leaf(random.next_f64() - 0.5);
            }
            let column = (random.next_u64() % FEATURES as u64) as u32;
            let (left, right) = (2 * at + 1, 2 * at + 2);
            Node::Split { column, below: random.next_f64() * 10.0, left, right, missing: left }
        };
        Tree((0..63).map(node).collect())
    };
    let trees = (0..100).map(|_| tree()).collect();
    ForestPredictor::new(Task::Regression, encoder, 0.0, trees)?.to_bytes()
}

/// Serves the model in a folder from the embedded store, until its input ends.
fn serve(folder: &Path) -> Outcome<()> {
    let bytes = std::fs::read(folder.join("model.json"))?;
    let format = ModelFormat::new("mlops.forest/v1")?;
    let signature = BuiltinLoader.load(&format, &bytes)?.signature().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = LocalStore::open(folder.join("store"))?;
        let deployer = Arc::new(store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader)));
        let artifact = store.artifacts().put_bytes(bytes).await?.digest;
        let new = NewModelVersion::new("trees".parse()?, artifact, format, signature, "bench".parse()?);
        let version = store.registry().register(&new).await?.version;
        deployer.ensure_endpoint(&EndpointSpec::new("trees".parse()?, "bench".parse()?)).await?;
        let (endpoint, actor) = ("trees".parse()?, "bench".parse()?);
        let spec = DeploymentSpec::new("trees".parse()?, "blue".parse()?, new.model, version, new.actor);
        deployer.deploy(&spec).await?;
        let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to("blue".parse()?));
        deployer.set_traffic(&TrafficChange::new(endpoint, split, actor).with_key(key)).await?;
        let endpoint = ServedEndpoint::new("trees".parse()?, Access::open());
        let running = Server::new(deployer).with_endpoint(endpoint).start("127.0.0.1:0".parse()?).await?;
        println!("{}", running.local_addr());
        // Whoever started this holds the other end.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        running.stop().await;
        Ok(())
    })
}
