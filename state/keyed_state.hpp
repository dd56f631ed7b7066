#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state/descriptors.hpp"
#include "state/list_value.hpp"
#include "state/table.hpp"

namespace weir {

/// The declaration of the state that a descriptor names, for keys of the given schema.
template <Described T>
[[nodiscard]] StateDeclaration declare(const ValueStateDescriptor<T>& descriptor,
                                       Schema key_schema) {
  return {descriptor.name, StateKind::value, std::move(key_schema), schema_of<T>()};
}
template <Described T>
[[nodiscard]] StateDeclaration declare(const ListStateDescriptor<T>& descriptor,
                                       Schema key_schema) {
  return {descriptor.name, StateKind::list, std::move(key_schema), schema_of<T>()};
}
template <Described T>
[[nodiscard]] StateDeclaration declare(const ReducingStateDescriptor<T>& descriptor,
                                       Schema key_schema) {
  return {descriptor.name, StateKind::reducing, std::move(key_schema), schema_of<T>()};
}

/// The table behind the state that a descriptor names.
template <Described T>
[[nodiscard]] std::unique_ptr<Table<T>> make_table(const ValueStateDescriptor<T>& descriptor,
                                                   Schema key_schema, const TableOptions& options) {
  return std::make_unique<Table<T>>(declare(descriptor, std::move(key_schema)), options);
}
template <Described T>
[[nodiscard]] std::unique_ptr<Table<ListValue<T>>> make_table(
    const ListStateDescriptor<T>& descriptor, Schema key_schema, const TableOptions& options) {
  return std::make_unique<Table<ListValue<T>>>(declare(descriptor, std::move(key_schema)), options);
}
/// `descriptor.reduce` must be set.
template <Described T>
[[nodiscard]] std::unique_ptr<Table<T>> make_table(const ReducingStateDescriptor<T>& descriptor,
                                                   Schema key_schema, const TableOptions& options) {
  WEIR_ASSERT(descriptor.reduce);
  return std::make_unique<Table<T>>(declare(descriptor, std::move(key_schema)), options,
                                    EntryCodec<T>{descriptor.reduce});
}

/// What all handles have: the table, and the key of the record that is being processed. A handle is
/// bound by its operator before the first record; using one that is not bound ends the process.
/// A pointer or reference that a handle returns is valid until the next call on any handle of that
/// function.
template <class V>
class StateHandleOf {
 public:
  StateHandleOf() = default;
  /// Both outlive the handle and its copies.
  StateHandleOf(Table<V>* table, const KeyContext* key) : table_(table), key_(key) {}

 protected:
  [[nodiscard]] Table<V>& table() const {
    WEIR_ASSERT(table_ != nullptr);
    return *table_;
  }
  [[nodiscard]] const KeyContext& key() const { return *key_; }

 private:
  Table<V>* table_ = nullptr;
  const KeyContext* key_ = nullptr;
};

/// One value per key. Copies of a handle lead to the same state.
///
///   long& count = counts.mutable_value();  // 0 for a new key
///   ++count;
///
/// A pointer or reference that a handle returns is valid until the next call on any handle of that
/// function.
/// Threads: the task's.
template <Described T>
class ValueState : public StateHandleOf<T> {
 public:
  using StateHandleOf<T>::StateHandleOf;

  /// The value of the current key, null if it has none.
  [[nodiscard]] const T* value() const { return this->table().find(this->key()); }
  /// The value of the current key, or `other` if it has none.
  [[nodiscard]] T value_or(T other) const {
    const T* found = value();
    return found != nullptr ? *found : std::move(other);
  }
  void update(T value) { this->table().find_or_insert(this->key()) = std::move(value); }
  /// The value of the current key, to be changed in place; a default one if it had none.
  [[nodiscard]] T& mutable_value() { return this->table().find_or_insert(this->key()); }
  [[nodiscard]] bool contains() const { return value() != nullptr; }
  void clear() { this->table().erase(this->key()); }
};

/// A list per key, to which elements are appended. A key without elements has no entry.
/// Threads: the task's.
template <Described T>
class ListState : public StateHandleOf<ListValue<T>> {
 public:
  using StateHandleOf<ListValue<T>>::StateHandleOf;

  void add(T element) { this->table().find_or_insert(this->key()).push_back(std::move(element)); }
  /// Appends the elements of `range` in order.
  template <class Range>
  void add_all(const Range& range) {
    ListValue<T>* list = nullptr;
    for (const auto& element : range) {
      if (list == nullptr) list = &this->table().find_or_insert(this->key());
      list->push_back(element);
    }
  }
  /// Replaces the list.
  void update(const std::vector<T>& elements) {
    if (elements.empty()) {
      clear();
      return;
    }
    ListValue<T> list;
    for (const auto& element : elements) list.push_back(element);
    this->table().find_or_insert(this->key()) = std::move(list);
  }
  void clear() { this->table().erase(this->key()); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const {
    const ListValue<T>* list = this->table().find(this->key());
    return list != nullptr ? list->size() : 0;
  }
  /// Calls `f(const T&)` for each element, the oldest first. `f` must not use handles of the function.
  template <class F>
  void for_each(F&& f) const {
    if (const ListValue<T>* list = this->table().find(this->key()); list != nullptr)
      list->for_each(std::forward<F>(f));
  }
  /// A copy of all elements, the oldest first.
  [[nodiscard]] std::vector<T> get() const {
    std::vector<T> elements;
    elements.reserve(size());
    for_each([&](const T& element) { elements.push_back(element); });
    return elements;
  }
};

/// One value per key, into which the descriptor's function folds what is added.
/// A pointer that it returns is valid until the next call on any handle of that function.
/// Threads: the task's.
template <Described T>
class ReducingState : public StateHandleOf<T> {
 public:
  using StateHandleOf<T>::StateHandleOf;

  /// The first value added to a key is kept as it is. If the function throws, nothing has changed.
  void add(T value) {
    if (T* held = this->table().find_for_write(this->key()); held != nullptr)
      *held = this->table().codec().reduce(*held, value);
    else
      this->table().find_or_insert(this->key()) = std::move(value);
  }
  /// The folded value of the current key, null if nothing was added.
  [[nodiscard]] const T* get() const { return this->table().find(this->key()); }
  void clear() { this->table().erase(this->key()); }
};

}  // namespace weir
