//! A batch of ours as requests that MLflow takes.
//!
//! MLflow takes 1 000 metric values, 100 parameters and 100 tags in a request, 1 000 of them together, in less than a million
//! bytes, and does not keep a request whole: parameters, metrics and tags go into the database one after the other. So the
//! order is chosen such that a call that failed can be made again: parameters first, where conflicts are; the receipt of a key
//! last, when everything else is there.

use serde_json::{Value, json};

use crate::mlflow::wire::{KeyValue, Metric};

const MAX_TOTAL: usize = 1_000;
const MAX_PARAMS: usize = 100;
const MAX_TAGS: usize = 100;
/// Below MLflow's limit of a million, with room for the frame.
const MAX_BYTES: usize = 900_000;

/// What is to be sent to a run.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Tags without which a point would be read as another: first of all.
    pub(super) before: Vec<KeyValue>,
    /// Parameters.
    pub(super) params: Vec<KeyValue>,
    /// Metric values.
    pub(super) metrics: Vec<Metric>,
    /// Tags.
    pub(super) tags: Vec<KeyValue>,
    /// The receipt.
    pub(super) after: Vec<KeyValue>,
}

impl Plan {
    /// The bodies of the `log-batch` requests, in their order.
    pub(super) fn requests(self, run: &str) -> Vec<Value> {
        let mut requests = Requests { run, done: Vec::new(), open: Open::default() };
        for tag in self.before {
            requests.add(Item::Tag(tag));
        }
        if !requests.open.is_empty() {
            requests.close();
        }
        requests.fill(self.params, self.metrics, self.tags);
        for tag in self.after {
            requests.add(Item::Tag(tag));
        }
        requests.close();
        requests.done
    }
}

enum Item {
    Param(KeyValue),
    Metric(Metric),
    Tag(KeyValue),
}

#[derive(Default)]
struct Open {
    params: Vec<KeyValue>,
    metrics: Vec<Value>,
    tags: Vec<KeyValue>,
    bytes: usize,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.params.len() + self.metrics.len() + self.tags.len()
    }
}

struct Requests<'a> {
    run: &'a str,
    done: Vec<Value>,
    open: Open,
}

impl Requests<'_> {
    /// Parameters lead; metrics and tags ride along where there is room.
    fn fill(&mut self, params: Vec<KeyValue>, metrics: Vec<Metric>, tags: Vec<KeyValue>) {
        let (mut metrics, mut tags) = (metrics.into_iter(), tags.into_iter());
        let mut params = params.into_iter().peekable();
        while params.peek().is_some() {
            params.by_ref().take(MAX_PARAMS).for_each(|param| self.add(Item::Param(param)));
            tags.by_ref().take(MAX_TAGS).for_each(|tag| self.add(Item::Tag(tag)));
            if params.peek().is_some() {
                self.close();
            }
        }
        metrics.by_ref().for_each(|metric| self.add(Item::Metric(metric)));
        tags.for_each(|tag| self.add(Item::Tag(tag)));
    }

    fn add(&mut self, item: Item) {
        let bytes = size(&item);
        let full = match &item {
            Item::Param(_) => self.open.params.len() == MAX_PARAMS,
            Item::Tag(_) => self.open.tags.len() == MAX_TAGS,
            Item::Metric(_) => false,
        };
        if full
            || self.open.len() == MAX_TOTAL
            || (self.open.bytes + bytes > MAX_BYTES && !self.open.is_empty())
        {
            self.close();
        }
        self.open.bytes += bytes;
        match item {
            Item::Param(pair) => self.open.params.push(pair),
            Item::Tag(pair) => self.open.tags.push(pair),
            Item::Metric(metric) => self.open.metrics.push(value(metric)),
        }
    }

    fn close(&mut self) {
        let Open { params, metrics, tags, .. } = std::mem::take(&mut self.open);
        if params.is_empty() && metrics.is_empty() && tags.is_empty() {
            return;
        }
        let mut body = json!({ "run_id": self.run });
        if !params.is_empty() {
            body["params"] = pairs(params);
        }
        if !metrics.is_empty() {
            body["metrics"] = Value::Array(metrics);
        }
        if !tags.is_empty() {
            body["tags"] = pairs(tags);
        }
        self.done.push(body);
    }
}

/// Pairs as JSON.
pub(super) fn pairs(pairs: Vec<KeyValue>) -> Value {
    pairs.into_iter().map(|pair| json!({ "key": pair.key, "value": pair.value })).collect()
}

fn value(metric: Metric) -> Value {
    json!({
        "key": metric.key,
        "value": crate::mlflow::wire::float(metric.value),
        "timestamp": metric.timestamp,
        "step": metric.step,
    })
}

/// An upper bound of an item's bytes in JSON, but for text that is mostly escapes.
fn size(item: &Item) -> usize {
    const FRAME: usize = 40;
    let escaped = |text: &str| {
        text.len() + 5 * text.bytes().filter(|b| *b < 0x20 || matches!(b, b'"' | b'\\' | 0x7f)).count()
    };
    match item {
        Item::Param(pair) | Item::Tag(pair) => FRAME + escaped(&pair.key) + escaped(&pair.value),
        Item::Metric(metric) => 3 * FRAME + metric.key.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(i: usize) -> KeyValue {
        KeyValue::new(format!("k{i}"), "v")
    }

    fn metric(i: usize) -> Metric {
        Metric { key: "m".to_owned(), value: i as f64, timestamp: 0, step: 0 }
    }

    fn count(request: &Value, what: &str) -> usize {
        request.get(what).and_then(Value::as_array).map_or(0, Vec::len)
    }

    #[test]
    fn requests_respect_every_limit_and_lose_nothing() {
        for (params, metrics, tags) in
            [(0, 0, 0), (1, 1, 1), (100, 1000, 100), (250, 3000, 1001), (1001, 0, 0), (0, 1001, 1)]
        {
            let plan = Plan {
                params: (0..params).map(pair).collect(),
                metrics: (0..metrics).map(metric).collect(),
                tags: (0..tags).map(pair).collect(),
                ..Plan::default()
            };
            let requests = plan.requests("r");
            let sum = |what| requests.iter().map(|r| count(r, what)).sum::<usize>();
            assert_eq!((sum("params"), sum("metrics"), sum("tags")), (params, metrics, tags));
            for request in &requests {
                let (p, m, t) = (count(request, "params"), count(request, "metrics"), count(request, "tags"));
                assert!(p <= 100 && t <= 100 && p + m + t <= 1000 && p + m + t > 0);
                assert_eq!(request["run_id"], "r");
            }
        }
    }

    #[test]
    fn requests_stay_below_a_million_bytes() {
        let long = |i: usize, text: &str| KeyValue::new(format!("k{i}"), text.repeat(5_000));
        for text in ["家", "\u{1}", "\"", "x"] {
            let plan = Plan { tags: (0..300).map(|i| long(i, text)).collect(), ..Plan::default() };
            let requests = plan.requests("r");
            assert!(requests.iter().all(|r| r.to_string().len() < 1_000_000), "{text:?}");
            assert_eq!(requests.iter().map(|r| count(r, "tags")).sum::<usize>(), 300);
        }
    }

    #[test]
    fn what_must_be_there_first_is_first_and_the_receipt_is_last() {
        let plan = Plan {
            before: vec![KeyValue::new("slot", "s")],
            params: (0..150).map(pair).collect(),
            metrics: (0..1500).map(metric).collect(),
            tags: (0..150).map(pair).collect(),
            after: vec![KeyValue::new("receipt", "r")],
        };
        let requests = plan.requests("r");
        assert_eq!(requests[0]["tags"][0]["key"], "slot");
        assert_eq!(count(&requests[0], "metrics"), 0);
        let last = requests.last().unwrap();
        assert_eq!(last["tags"].as_array().unwrap().last().unwrap()["key"], "receipt");
        let with_params: Vec<_> = requests.iter().map(|r| count(r, "params")).collect();
        assert_eq!(with_params[1..3], [100, 50]);
    }

    #[test]
    fn a_small_batch_is_one_request() {
        let plan =
            Plan { params: vec![pair(0)], metrics: vec![metric(0)], tags: vec![pair(1)], ..Plan::default() };
        let requests = plan.requests("r");
        assert_eq!(
            requests[0].to_string(),
            json!({
                "run_id": "r",
                "params": [{"key": "k0", "value": "v"}],
                "metrics": [{"key": "m", "value": 0.0, "timestamp": 0, "step": 0}],
                "tags": [{"key": "k1", "value": "v"}],
            })
            .to_string()
        );
        assert_eq!(requests.len(), 1);
    }
}
