#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/operator.hpp"

namespace weir {

/// Where `CollectSink` puts the records of all its subtasks; its maker looks at them when the job has ended.
///
///   const auto kept = std::make_shared<Collected<std::string>>();
///
///   words.collect(kept);
///
/// Threads: any, concurrently.
template <class T>
class Collected {
 public:
  void add(T value) {
    const std::scoped_lock lock(mutex_);
    values_.push_back(std::move(value));
  }
  /// A copy of what has been collected so far.
  [[nodiscard]] std::vector<T> values() const {
    const std::scoped_lock lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;  ///< guards `values_`
  std::vector<T> values_;
};

/// Appends the records to a list of the caller's, in this process. For tests and small results; a
/// job that is restored appends some of them again.
template <class T>
class CollectSink final : public Operator {
 public:
  explicit CollectSink(std::shared_ptr<Collected<T>> into) : into_(std::move(into)) {}
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<T>&>(any);
    while (cursor.next < cursor.limit) into_->add(std::move(batch.values[cursor.next++]));
  }

 private:
  const std::shared_ptr<Collected<T>> into_;
};

}  // namespace weir
