#ifndef NARK_COMMON_SERVE_METRICS_H_
#define NARK_COMMON_SERVE_METRICS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nark::serve {

using Labels = std::vector<std::pair<std::string, std::string>>;

// A number that only grows. Thread-safe; increments are atomic and lock nothing.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double amount) = 0;
  void Increment() { Add(1); }
  virtual double value() const = 0;
};

// A number that comes and goes. Thread-safe.
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
};

// How often values fell into each bucket. Thread-safe.
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Makes the numbers of one program and shows them to Prometheus (text format
// 0.0.4). What is returned lives as long as this. The same name and labels give
// the same object, so that two places can count together; look objects up once,
// not once a request. Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // Names end in _total, with unit before it; `help` is one sentence.
  Counter& AddCounter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& AddGauge(std::string_view name, std::string_view help, const Labels& labels = {});
  // `bounds`: upper bounds of the buckets, ascending.
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          const std::vector<double>& bounds, const Labels& labels = {});

  // Runs `collect` before every Exposition(), to copy numbers that a core keeps
  // for itself: any thread may run it, one at a time.
  void OnCollect(std::function<void()> collect);

  // All of it, as /metrics shows it.
  std::string Exposition();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_METRICS_H_
