#include "common/serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace nark::serve {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double amount) override { counter_.Increment(amount); }
  double value() const override { return counter_.Value(); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusGauge final : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram final : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

std::map<std::string, std::string> ToMap(const Labels& labels) {
  return {labels.begin(), labels.end()};
}

}  // namespace

class Metrics::State {
 public:
  // Two objects of one name and labels are one.
  template <typename Interface, typename Made, typename Make>
  Interface& Find(std::string_view name, const Labels& labels,
                  std::map<std::pair<std::string, Labels>, std::unique_ptr<Interface>>& known,
                  Make make) {
    absl::MutexLock lock(&mutex);
    auto& slot = known[{std::string(name), labels}];
    if (slot == nullptr) slot = std::make_unique<Made>(make());
    return *slot;
  }

  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  absl::Mutex mutex;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<Counter>> counters;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<Gauge>> gauges;
  std::map<std::pair<std::string, Labels>, std::unique_ptr<Histogram>> histograms;
  absl::Mutex collect_mutex;
  std::vector<std::function<void()>> collect ABSL_GUARDED_BY(collect_mutex);
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::AddCounter(std::string_view name, std::string_view help, const Labels& labels) {
  return state_->Find<Counter, PrometheusCounter>(name, labels, state_->counters,
                                                  [&]() -> prometheus::Counter& {
                                                    return prometheus::BuildCounter()
                                                        .Name(std::string(name))
                                                        .Help(std::string(help))
                                                        .Register(state_->registry)
                                                        .Add(ToMap(labels));
                                                  });
}

Gauge& Metrics::AddGauge(std::string_view name, std::string_view help, const Labels& labels) {
  return state_->Find<Gauge, PrometheusGauge>(name, labels, state_->gauges,
                                              [&]() -> prometheus::Gauge& {
                                                return prometheus::BuildGauge()
                                                    .Name(std::string(name))
                                                    .Help(std::string(help))
                                                    .Register(state_->registry)
                                                    .Add(ToMap(labels));
                                              });
}

Histogram& Metrics::AddHistogram(std::string_view name, std::string_view help,
                                 const std::vector<double>& bounds, const Labels& labels) {
  return state_->Find<Histogram, PrometheusHistogram>(
      name, labels, state_->histograms, [&]() -> prometheus::Histogram& {
        return prometheus::BuildHistogram()
            .Name(std::string(name))
            .Help(std::string(help))
            .Register(state_->registry)
            .Add(ToMap(labels), prometheus::Histogram::BucketBoundaries(bounds));
      });
}

void Metrics::OnCollect(std::function<void()> collect) {
  absl::MutexLock lock(&state_->collect_mutex);
  state_->collect.push_back(std::move(collect));
}

std::string Metrics::Exposition() {
  absl::MutexLock lock(&state_->collect_mutex);
  for (const auto& collect : state_->collect) collect();
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace nark::serve
