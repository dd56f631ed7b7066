#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "state/codec.hpp"
#include "state/time_to_live.hpp"

namespace weir {

// Names are unique within an operator, whatever the kinds. Each descriptor takes a time to live as its
// last field; without one the state stays until it is cleared.

/// Names one value per key: `ValueStateDescriptor<long>{"count"}`.
template <Described T>
struct ValueStateDescriptor {
  std::string name;
  std::optional<StateTtlConfig> ttl = std::nullopt;
};

/// Names one list per key, to which elements are appended. With a time to live each element has its own.
template <Described T>
struct ListStateDescriptor {
  std::string name;
  std::optional<StateTtlConfig> ttl = std::nullopt;
};

/// Names one value per key that `reduce(accumulated, added)` keeps up to date. `reduce` must be associative:
/// what is added may be folded in parts, and then these, in their order. Sums of floating-point numbers are so
/// but for their last digits, which may differ with the backend and its memory.
///
///   ReducingStateDescriptor<double> descriptor{"largest", [](double a, double b) { return std::max(a, b); }};
///
/// Threads: the tasks', and besides another one while a snapshot is written, so `reduce` keeps nothing and
/// changes nothing. If it throws there, the snapshot fails and says so.
template <Described T>
struct ReducingStateDescriptor {
  std::string name;
  std::function<T(const T&, const T&)> reduce;
  std::optional<StateTtlConfig> ttl = std::nullopt;
};

/// How an aggregating state makes something of what is added: what is kept is an accumulator, which
/// must be described; what goes in and comes out need not be.
///
///   struct Average final : AggregateFunction<double, std::pair<double, long>, double> {
///     std::pair<double, long> create_accumulator() const override { return {0, 0}; }
///     void add(const double& value, std::pair<double, long>& sum) const override {
///       sum.first += value;
///       ++sum.second;
///     }
///     double get_result(const std::pair<double, long>& sum) const override {
///       return sum.first / static_cast<double>(sum.second);
///     }
///     void merge(const std::pair<double, long>& other, std::pair<double, long>& sum) const override {
///       sum.first += other.first;
///       sum.second += other.second;
///     }
///   };
///
/// What is added to a key may be accumulated in parts, each of which begins with `create_accumulator`; to merge
/// these, in their order, must give the same as to add all to one.
///
/// Threads: the tasks', and besides another one that calls `merge` while a snapshot is written. One object
/// serves all of them at the same time, so it keeps nothing in its fields. If `merge` throws there, the snapshot
/// fails and says so.
template <class In, Described Acc, class Out>
class AggregateFunction {
 public:
  virtual ~AggregateFunction() = default;
  /// What a key begins with.
  [[nodiscard]] virtual Acc create_accumulator() const = 0;
  /// Adds `value`. If it throws, the accumulator stays as it left it.
  virtual void add(const In& value, Acc& accumulator) const = 0;
  [[nodiscard]] virtual Out get_result(const Acc& accumulator) const = 0;
  /// Adds what `other` has accumulated, which came later than what `accumulator` has.
  virtual void merge(const Acc& other, Acc& accumulator) const = 0;
};

/// Names one accumulator per key:
/// `AggregatingStateDescriptor<double, Sum, double>{"average", std::make_shared<Average>()}`.
template <class In, Described Acc, class Out>
struct AggregatingStateDescriptor {
  std::string name;
  std::shared_ptr<const AggregateFunction<In, Acc, Out>> function;
  std::optional<StateTtlConfig> ttl = std::nullopt;
};

/// Names one map per key, each entry of which is stored by itself: `MapStateDescriptor<std::string,
/// long>{"visits by page"}`. Map keys are equal if their canonical encodings are. With a time to live
/// each entry has its own.
template <class K, class V>
struct MapStateDescriptor {
  static_assert(
      Described<K>,
      "the map key of this MapStateDescriptor is not described: use a number, a string, or "
      "describe its type with WEIR_FIELDS or WEIR_AS");
  static_assert(Described<V>,
                "the value of this MapStateDescriptor is not described: describe its type with "
                "WEIR_FIELDS, WEIR_AS or WEIR_SERIALIZER");
  std::string name;
  std::optional<StateTtlConfig> ttl = std::nullopt;
};

}  // namespace weir
