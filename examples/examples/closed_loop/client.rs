//! A client of the endpoint, as small as one can be: one connection, one request after the other. Programs use a library for this.

use std::net::SocketAddr;

use mlops_core::data::Table;
use mlops_core::{DeploymentName, Error, ErrorKind, Result};
use serde_json::{Map, Number, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const POST: &str = "POST /score";

/// A connection to the server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    key: String,
}

/// Who answered, and what.
#[derive(Debug)]
pub struct Scores {
    pub deployment: DeploymentName,
    pub predictions: Vec<f64>,
}

/// Whom to ask, and as what.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Whoever has the caller's share of the traffic; the request is called by this id.
    Routed { id: &'a str, caller: &'a str },
    /// One deployment, past the split.
    Pinned(&'a DeploymentName),
}

impl Client {
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(Self { stream: BufReader::new(stream), key: key.to_owned() })
    }

    /// Posts rows; everything but an answer with one prediction for each is an error.
    pub async fn score(&mut self, ask: Ask<'_>, rows: &Table<'_>, features: &[String]) -> Result<Scores> {
        let head = match ask {
            Ask::Routed { id, caller } => format!("x-request-id: {id}\r\nx-caller: {caller}\r\n"),
            Ask::Pinned(deployment) => format!("azureml-model-deployment: {deployment}\r\n"),
        };
        let body = json!({ "data": as_json(rows, features)? }).to_string();
        let (status, deployment, answer) = self.exchange(&head, &body).await?;
        if status != 200 {
            return Err(Error::new(ErrorKind::Rejected, POST, String::from_utf8_lossy(&answer))
                .with("status", status));
        }
        let predictions: Vec<f64> =
            serde_json::from_slice(&answer).map_err(|e| protocol("is no list of numbers").with_source(e))?;
        if predictions.len() != rows.rows() {
            return Err(protocol("has another number of predictions than there are rows"));
        }
        Ok(Scores { deployment: DeploymentName::new(deployment)?, predictions })
    }

    /// One request and its answer: status, who answered, body.
    async fn exchange(&mut self, head: &str, body: &str) -> Result<(u16, String, Vec<u8>)> {
        let request = format!(
            "POST /score HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{head}\r\n{body}",
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)?;
        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| protocol("has no status"))?;
        let (mut length, mut deployment) = (0, String::new());
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name {
                "content-length" => length = value.parse().map_err(|_| protocol("has no length"))?,
                "azureml-model-deployment" => deployment = value.to_owned(),
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await.map_err(broken)?;
        Ok((status, deployment, answer))
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.map_err(broken)? == 0 {
            return Err(protocol("broke off"));
        }
        Ok(line.trim_end().to_owned())
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Transport, POST, "the connection broke").with_source(error)
}

fn protocol(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, POST, format!("the answer {what}"))
}

/// Rows as objects, with the columns that a model looks at; what is missing is `null`.
fn as_json(rows: &Table<'_>, features: &[String]) -> Result<Vec<Value>> {
    let mut objects = vec![Map::new(); rows.rows()];
    for feature in features {
        let column = rows.column(feature)?;
        let numbers = column.data_type().is_numeric().then(|| column.to_f64()).transpose()?;
        for (row, object) in objects.iter_mut().enumerate() {
            let value = match &numbers {
                Some(numbers) => {
                    numbers.get(row).copied().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
                }
                None => column.label(row).map_or(Value::Null, |label| Value::String(label.into_owned())),
            };
            object.insert(feature.clone(), value);
        }
    }
    Ok(objects.into_iter().map(Value::Object).collect())
}
