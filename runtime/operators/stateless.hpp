#pragma once

#include <utility>

#include "runtime/operator.hpp"

namespace weir {

/// Calls `body(index)` for the records of this slice, until an output is full, with the event time of
/// each handed to `out`.
template <class In, class Out, class Body>
void for_each_record(Batch<In>& batch, Cursor& cursor, Collector<Out>& out, Body&& body) {
  if (batch.times.empty()) {
    out.clear_time();
    while (cursor.next < cursor.limit && !out.full()) body(cursor.next++);
  } else {
    while (cursor.next < cursor.limit && !out.full()) {
      out.set_time(batch.times[cursor.next]);
      body(cursor.next++);
    }
  }
}

/// `f(In) -> Out` for each record. `F` is inlined over the batch.
template <class In, class Out, class F>
class MapOperator final : public Operator {
 public:
  explicit MapOperator(F f) : f_(std::move(f)) {}
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<In>&>(any);
    auto& out = output_.collector();
    for_each_record(batch, cursor, out,
                    [&](std::size_t i) { out.collect(f_(std::move(batch.values[i]))); });
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  F f_;
  Output<Out> output_;
};

/// Keeps the records for which `f(const T&)` is true.
template <class T, class F>
class FilterOperator final : public Operator {
 public:
  explicit FilterOperator(F f) : f_(std::move(f)) {}
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<T>&>(any);
    auto& out = output_.collector();
    for_each_record(batch, cursor, out, [&](std::size_t i) {
      if (f_(std::as_const(batch.values[i]))) out.collect(std::move(batch.values[i]));
    });
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  F f_;
  Output<T> output_;
};

/// `f(In, Collector<Out>&)`: any number of results for each record.
template <class In, class Out, class F>
class FlatMapOperator final : public Operator {
 public:
  explicit FlatMapOperator(F f) : f_(std::move(f)) {}
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<In>&>(any);
    auto& out = output_.collector();
    for_each_record(batch, cursor, out,
                    [&](std::size_t i) { f_(std::move(batch.values[i]), out); });
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  F f_;
  Output<Out> output_;
};

}  // namespace weir
