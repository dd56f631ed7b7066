#pragma once

#include <functional>
#include <string>
#include <utility>

#include "state/codec.hpp"

namespace weir {

/// Names one value per key: `ValueStateDescriptor<long>{"count"}`. Names are unique within an operator.
template <Described T>
struct ValueStateDescriptor {
  std::string name;
};

/// Names one list per key, to which elements are appended.
template <Described T>
struct ListStateDescriptor {
  std::string name;
};

/// Names one value per key that `reduce(accumulated, added)` keeps up to date. `reduce` is associative.
template <Described T>
struct ReducingStateDescriptor {
  std::string name;
  std::function<T(const T&, const T&)> reduce;
};

}  // namespace weir
