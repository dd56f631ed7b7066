#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/broadcast_state.hpp"
#include "state/codec.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// Elements that one subtask of an operator keeps, without a key: a source's splits, a sink's open
/// files. When the parallelism changes they are dealt out again (`split`) or given to all (`union`).
///
///   if (std::ranges::find(seen_->get(), line) != seen_->get().end()) return;
///   seen_->add(line);
///
/// Threads: the task thread.
template <Described T>
class OperatorListState {
 public:
  [[nodiscard]] const std::vector<T>& get() const { return elements_; }
  void add(T element) { elements_.push_back(std::move(element)); }
  void update(std::vector<T> elements) { elements_ = std::move(elements); }
  void clear() { elements_.clear(); }

 private:
  friend class OperatorStateStore;
  std::vector<T> elements_;
};

/// The operator state of one operator in one subtask.
/// Threads: the task thread.
class OperatorStateStore {
 public:
  /// One restored state: its declaration and the encoded elements that this subtask gets.
  struct Restored {
    StateDeclaration declaration;
    std::vector<std::string> elements;
    bool claimed = false;
  };
  /// One state frozen for a snapshot: the elements' encodings, one behind the other.
  struct Frozen {
    std::string state;
    std::string payload;
    std::vector<std::uint64_t> offsets;  ///< where each element begins
  };

  /// `label` is the operator as error sentences begin with it.
  explicit OperatorStateStore(std::string label) : label_(std::move(label)) {}
  void restore(std::vector<Restored> states) { restored_ = std::move(states); }

  /// The state `name`, with its restored elements. `kind` is operator_list or operator_union.
  /// Errors: `already_exists`, `state_incompatible`, `corruption`.
  template <Described T>
  [[nodiscard]] Result<OperatorListState<T>*> list_state(
      const std::string& name, StateKind kind = StateKind::operator_list) {
    StateDeclaration declaration{name, kind, std::nullopt, schema_of<T>()};
    WEIR_TRY_ASSIGN(elements, claim(declaration, defaults_of<T>()));
    auto state = std::make_shared<OperatorListState<T>>();
    for (const auto& bytes : elements) {
      WEIR_TRY_ASSIGN(element,
                      decode_value<T>(bytes, label_ + ", state '" + name + "': an element"));
      state->elements_.push_back(std::move(element));
    }
    auto* const handle = state.get();
    states_.push_back({std::move(declaration), [state](Frozen& frozen) {
                         ByteWriter writer(frozen.payload);
                         for (const T& element : state->elements_) {
                           frozen.offsets.push_back(frozen.payload.size());
                           encode(element, writer);
                         }
                       }});
    return handle;
  }

  /// The broadcast state `name`, with its restored entries. Errors: as those of `list_state`.
  template <Described K, Described V>
  [[nodiscard]] Result<BroadcastState<K, V>*> broadcast_state(const std::string& name) {
    using Entry = std::pair<K, V>;
    StateDeclaration declaration{name, StateKind::operator_broadcast, std::nullopt,
                                 Schema{SchemaKind::map, {}, {}, 0, schema_of<Entry>().children}};
    WEIR_TRY_ASSIGN(elements, claim(declaration, defaults_of<V>()));
    auto state = std::make_shared<BroadcastState<K, V>>();
    for (const auto& bytes : elements) {
      WEIR_TRY_ASSIGN(entry,
                      decode_value<Entry>(bytes, label_ + ", state '" + name + "': an entry"));
      state->put(entry.first, std::move(entry.second));
    }
    auto* const handle = state.get();
    states_.push_back({std::move(declaration), [state](Frozen& frozen) {
                         ByteWriter writer(frozen.payload);
                         state->for_each([&](const K& key, const V& value) {
                           frozen.offsets.push_back(frozen.payload.size());
                           encode(key, writer);
                           encode(value, writer);
                         });
                       }});
    return handle;
  }

  /// Encodes every state; small, so it happens in the synchronous part.
  [[nodiscard]] std::vector<Frozen> freeze() const;
  [[nodiscard]] std::vector<StateDeclaration> declarations() const;
  /// Names of restored states that nobody asked for.
  [[nodiscard]] std::vector<std::string> unclaimed_states() const;

 private:
  struct Entry {
    StateDeclaration declaration;
    std::function<void(Frozen&)> freeze;
  };
  /// Checks the declaration and hands out its restored elements, as the declared type writes them.
  [[nodiscard]] Result<std::vector<std::string>> claim(const StateDeclaration& declaration,
                                                       const SchemaDefaults& defaults);

  std::string label_;
  std::vector<Entry> states_;
  std::vector<Restored> restored_;
};

}  // namespace weir
