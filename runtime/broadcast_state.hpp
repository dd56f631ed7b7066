#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "state/codec.hpp"

namespace weir {

/// A map that every subtask of an operator has a copy of, because each of them sees every record that
/// changes it. Map keys are equal if their canonical encodings are; they are walked in the order of
/// these. A snapshot holds the copy of each subtask; at another parallelism the copies are dealt out in
/// turn.
///
///   context.state(rules_).for_each([&](const std::string&, const Rule& rule) {
///     if (event.amount > rule.limit) out.collect({event, rule});
///   });
///
/// Threads: the task thread.
template <Described K, Described V>
class BroadcastState {
 public:
  /// The value of `key`, null if there is none; valid until it is changed or removed.
  [[nodiscard]] const V* get(const K& key) const {
    const auto found = entries_.find(encoded(key));
    return found == entries_.end() ? nullptr : &found->second.second;
  }
  [[nodiscard]] bool contains(const K& key) const { return get(key) != nullptr; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Calls `f(const K&, const V&)` for each entry.
  template <class F>
  void for_each(F&& f) const {
    for (const auto& [bytes, entry] : entries_) f(entry.first, entry.second);
  }

  void put(const K& key, V value) {
    entries_.insert_or_assign(encoded(key), std::pair<K, V>(key, std::move(value)));
  }
  void remove(const K& key) { entries_.erase(encoded(key)); }
  void clear() { entries_.clear(); }

 private:
  static std::string encoded(const K& key) {
    std::string bytes;
    ByteWriter writer(bytes);
    encode_key(key, writer);
    return bytes;
  }
  std::map<std::string, std::pair<K, V>> entries_;
};

/// Names a broadcast state of the function that asked for it in `open`; its contexts lead to the state,
/// those of the broadcast side to be changed, the others to be read.
template <Described K, Described V>
class BroadcastStateHandle {
 public:
  BroadcastStateHandle() = default;
  /// For the runtime.
  explicit BroadcastStateHandle(BroadcastState<K, V>* state) : state_(state) {}

 private:
  friend class BroadcastContext;
  friend class ReadOnlyContext;
  BroadcastState<K, V>* state_ = nullptr;
};

/// What a function of the broadcast side is given: it may change broadcast states. Every subtask must
/// change them alike, from the record alone: the runtime does not compare the copies.
class BroadcastContext {
 public:
  template <class K, class V>
  [[nodiscard]] BroadcastState<K, V>& state(const BroadcastStateHandle<K, V>& handle) const {
    WEIR_ASSERT(handle.state_ != nullptr);
    return *handle.state_;
  }
};

/// What a function of the other side is given: it may read them.
class ReadOnlyContext {
 public:
  template <class K, class V>
  [[nodiscard]] const BroadcastState<K, V>& state(const BroadcastStateHandle<K, V>& handle) const {
    WEIR_ASSERT(handle.state_ != nullptr);
    return *handle.state_;
  }
};

}  // namespace weir
