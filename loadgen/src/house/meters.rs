//! What a server in this process counts, read as its admin port would show it.

use service::Host;
use service::prometheus::Registry;
use service::prometheus::proto::{Metric, MetricType};

/// A hold on a server's metrics.
#[derive(Clone, Debug)]
pub struct Meters {
    registry: Registry,
}

impl Meters {
    /// Of the server that was bound to this host.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        Self { registry: host.registry.clone() }
    }

    /// A counter or gauge, summed over its labels; 0 for one that is not there.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.select(name, |_| true)
    }

    /// A counter or gauge where one of its labels has this value.
    #[must_use]
    pub fn of_label(&self, name: &str, value: &str) -> f64 {
        self.select(name, |metric| metric.get_label().iter().any(|label| label.value() == value))
    }

    fn select(&self, name: &str, wanted: impl Fn(&Metric) -> bool) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().filter(|family| family.name() == name);
        let value = |(kind, metric): (MetricType, &Metric)| match kind {
            MetricType::COUNTER => metric.get_counter().get_value(),
            MetricType::GAUGE => metric.get_gauge().get_value(),
            _ => 0.0,
        };
        family
            .flat_map(|family| family.get_metric().iter().map(|metric| (family.get_field_type(), metric)))
            .filter(|(_, metric)| wanted(metric))
            .map(value)
            .sum()
    }
}
