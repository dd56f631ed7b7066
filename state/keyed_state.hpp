#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "state/descriptors.hpp"
#include "state/list_value.hpp"
#include "state/table.hpp"

namespace weir {

/// What the handles of states with a time to live do with their tables. Slow beside a handle without
/// one, and not inlined into it.
namespace ttl {

/// The value of `key`, as a handle returns it; null if there is none. Removes it if it has expired.
template <class T>
[[nodiscard, gnu::noinline]] const T* find(Table<Timed<T>>& table, const KeyContext& key) {
  const TimeToLive& ttl = table.ttl();
  const Timed<T>* held = table.find(key);
  if (held == nullptr) return nullptr;
  if (held->accessed_at_ms <= ttl.newest_expired_ms()) {
    table.erase(key);
    return nullptr;
  }
  if (ttl.renews_on_read() && held->accessed_at_ms < ttl.now_ms()) {
    Timed<T>* renewed = table.find_for_write(key);
    renewed->accessed_at_ms = ttl.now_ms();
    return &renewed->value;
  }
  return &held->value;
}
/// The value of `key`, to be changed; a default one if there was none. `is_new` says so.
template <class T>
[[nodiscard, gnu::noinline]] T& find_or_insert(Table<Timed<T>>& table, const KeyContext& key,
                                               bool* is_new = nullptr) {
  const TimeToLive& ttl = table.ttl();
  Timed<T>& held = table.find_or_insert(key);
  const bool lives = held.accessed_at_ms > ttl.newest_expired_ms();
  if (!lives) held.value = T{};
  held.accessed_at_ms = ttl.now_ms();
  if (is_new != nullptr) *is_new = !lives;
  return held.value;
}
/// Calls `f(const T&)` for the elements of `key`, as a handle shows them.
template <class T, class F>
void for_each(Table<ListValue<Timed<T>>>& table, const KeyContext& key, F&& f) {
  const TimeToLive& ttl = table.ttl();
  const ListValue<Timed<T>>* list = table.find(key);
  if (list == nullptr) return;
  bool lives = false;
  bool is_older = false;
  list->for_each([&](const Timed<T>& element) {
    if (element.accessed_at_ms <= ttl.newest_expired_ms()) return;
    lives = true;
    is_older = is_older || element.accessed_at_ms < ttl.now_ms();
    f(element.value);
  });
  if (!lives) {
    table.erase(key);
  } else if (ttl.renews_on_read() && is_older) {
    ListValue<Timed<T>> renewed;
    list->for_each([&](const Timed<T>& element) {
      if (element.accessed_at_ms > ttl.newest_expired_ms())
        renewed.push_back({std::max(element.accessed_at_ms, ttl.now_ms()), element.value});
    });
    *table.find_for_write(key) = std::move(renewed);
  }
}

}  // namespace ttl

/// What all handles have: the table, and the key of the record that is being processed. A handle is
/// bound by its operator before the first record; using one that is not bound throws `std::logic_error`.
/// A pointer or reference that a handle returns is valid until the next call on any handle of that
/// function. Copies of a handle lead to the same state.
template <class V, class TimedV>
class StateHandleOf {
 public:
  StateHandleOf() = default;
  /// Both outlive the handle and its copies.
  StateHandleOf(Table<V>* table, const KeyContext* key) : table_(table), key_(key) {}
  /// For a state with a time to live.
  StateHandleOf(Table<TimedV>* table, const KeyContext* key) : key_(key), timed_(table) {}

 protected:
  /// Whether `timed_table` is to be used; a branch that also finds handles that are not bound.
  [[nodiscard]] bool is_timed() const { return table_ == nullptr; }
  [[nodiscard]] Table<V>& table() const { return *table_; }
  [[nodiscard]] Table<TimedV>& timed_table() const {
    if (timed_ == nullptr) [[unlikely]]
      table::handle_not_bound();
    return *timed_;
  }
  [[nodiscard]] const KeyContext& key() const { return *key_; }
  void erase(const KeyContext& key) const {
    if (is_timed()) [[unlikely]]
      timed_table().erase(key);
    else
      table().erase(key);
  }
  void discard(const KeyContext& key) const {
    if (is_timed()) [[unlikely]]
      timed_table().discard(key);
    else
      table().discard(key);
  }

 private:
  Table<V>* table_ = nullptr;
  const KeyContext* key_ = nullptr;
  Table<TimedV>* timed_ = nullptr;
};

/// One value per key.
///
///   long& count = counts.mutable_value();  // 0 for a new key
///   ++count;
///
/// A pointer or reference that a handle returns is valid until the next call on any handle of that
/// function.
/// Threads: the task's.
template <Described T>
class ValueState : public StateHandleOf<T, Timed<T>> {
 public:
  using StateHandleOf<T, Timed<T>>::StateHandleOf;

  /// The value of the current key, null if it has none.
  [[nodiscard]] const T* value() const {
    if (this->is_timed()) [[unlikely]]
      return ttl::find(this->timed_table(), this->key());
    return this->table().find(this->key());
  }
  /// The value of the current key, or `other` if it has none.
  [[nodiscard]] T value_or(T other) const {
    const T* found = value();
    return found != nullptr ? *found : std::move(other);
  }
  void update(T value) { mutable_value() = std::move(value); }
  /// The value of the current key, to be changed in place; a default one if it had none.
  [[nodiscard]] T& mutable_value() {
    if (this->is_timed()) [[unlikely]]
      return ttl::find_or_insert(this->timed_table(), this->key());
    return this->table().find_or_insert(this->key());
  }
  [[nodiscard]] bool contains() const { return value() != nullptr; }
  void clear() { this->erase(this->key()); }
};

/// A list per key, to which elements are appended. A key without elements has no entry.
///
///   amounts.add(order.amount);
///   if (amounts.size() > 2) amounts.clear();
///
/// Threads: the task's.
template <Described T>
class ListState : public StateHandleOf<ListValue<T>, ListValue<Timed<T>>> {
 public:
  using StateHandleOf<ListValue<T>, ListValue<Timed<T>>>::StateHandleOf;

  void add(T element) {
    if (this->is_timed()) [[unlikely]] {
      auto& table = this->timed_table();
      table.append_to(this->key()).push_back({table.ttl().now_ms(), std::move(element)});
    } else {
      this->table().append_to(this->key()).push_back(std::move(element));
    }
  }
  /// Appends the elements of `range` in order.
  template <class Range>
  void add_all(const Range& range) {
    if (this->is_timed()) [[unlikely]]
      append(this->timed_table(), range, [now = this->timed_table().ttl().now_ms()](const T& one) {
        return Timed<T>{now, one};
      });
    else
      append(this->table(), range, [](const T& one) { return one; });
  }
  /// Replaces the list.
  void update(const std::vector<T>& elements) {
    clear();
    add_all(elements);
  }
  void clear() { this->discard(this->key()); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const {
    if (this->is_timed()) [[unlikely]] {
      std::size_t count = 0;
      for_each([&](const T&) { ++count; });
      return count;
    }
    const ListValue<T>* list = this->table().find(this->key());
    return list != nullptr ? list->size() : 0;
  }
  /// Calls `f(const T&)` for each element, the oldest first. `f` must not use handles of the function.
  template <class F>
  void for_each(F&& f) const {
    if (this->is_timed()) [[unlikely]]
      ttl::for_each(this->timed_table(), this->key(), std::forward<F>(f));
    else if (const ListValue<T>* list = this->table().find(this->key()); list != nullptr)
      list->for_each(std::forward<F>(f));
  }
  /// A copy of all elements, the oldest first.
  [[nodiscard]] std::vector<T> get() const {
    std::vector<T> elements;
    if (!this->is_timed()) elements.reserve(size());
    for_each([&](const T& element) { elements.push_back(element); });
    return elements;
  }

 private:
  template <class ListTable, class Range, class Make>
  void append(ListTable& table, const Range& range, const Make& make) {
    decltype(&table.append_to(this->key())) list = nullptr;
    for (const auto& element : range) {
      if (list == nullptr) list = &table.append_to(this->key());
      list->push_back(make(element));
    }
  }
};

/// One value per key, into which the descriptor's function folds what is added.
///
///   largest.add(order.amount);
///   const double so_far = *largest.get();  // not null, as something was added
///
/// A pointer that it returns is valid until the next call on any handle of that function.
/// Threads: the task's.
template <Described T>
class ReducingState : public StateHandleOf<T, Timed<T>> {
 public:
  using StateHandleOf<T, Timed<T>>::StateHandleOf;

  /// The first value added to a key is kept as it is. If the function throws, nothing has changed.
  void add(T value) {
    if (this->is_timed()) [[unlikely]]
      add_timed(std::move(value));
    else if (T* held = this->table().find_for_append(this->key()); held != nullptr)
      *held = this->table().codec().reduce(*held, value);
    else
      this->table().insert_for_append(this->key()) = std::move(value);
  }
  /// The folded value of the current key, null if nothing was added.
  [[nodiscard]] const T* get() const {
    if (this->is_timed()) [[unlikely]]
      return ttl::find(this->timed_table(), this->key());
    return this->table().find(this->key());
  }
  void clear() { this->discard(this->key()); }

 private:
  [[gnu::noinline]] void add_timed(T value) {
    auto& table = this->timed_table();
    Timed<T> added{table.ttl().now_ms(), std::move(value)};
    Timed<T>* held = table.find_for_write(this->key());
    if (held != nullptr && held->accessed_at_ms > table.ttl().newest_expired_ms()) {
      *held = table.codec().reduce(*held, added);
      held->accessed_at_ms = table.ttl().now_ms();
    } else {
      table.find_or_insert(this->key()) = std::move(added);
    }
  }
};

/// One accumulator per key, to which the descriptor's function adds values.
///
///   average.add(order.amount);
///   const double mean = *average.get();  // not empty, as something was added
///
/// Threads: the task's.
template <class In, Described Acc, class Out>
class AggregatingState : public StateHandleOf<Acc, Timed<Acc>> {
 public:
  using Function = AggregateFunction<In, Acc, Out>;

  AggregatingState() = default;
  template <class AnyTable>
  AggregatingState(AnyTable* table, const KeyContext* key, std::shared_ptr<const Function> function)
      : StateHandleOf<Acc, Timed<Acc>>(table, key), function_(std::move(function)) {}

  void add(const In& value) {
    if (this->is_timed()) [[unlikely]] {
      bool is_new = false;
      Acc& held = ttl::find_or_insert(this->timed_table(), this->key(), &is_new);
      if (is_new) held = function_->create_accumulator();
      function_->add(value, held);
    } else if (Acc* held = this->table().find_for_append(this->key()); held != nullptr) {
      function_->add(value, *held);
    } else {
      Acc created = function_->create_accumulator();
      function_->add(value, created);
      this->table().insert_for_append(this->key()) = std::move(created);
    }
  }
  /// What the function makes of all that was added for the current key; none if that is nothing.
  [[nodiscard]] std::optional<Out> get() const {
    const Acc* held = this->is_timed() ? ttl::find(this->timed_table(), this->key())
                                       : this->table().find(this->key());
    if (held == nullptr) return std::nullopt;
    return function_->get_result(*held);
  }
  void clear() { this->discard(this->key()); }

 private:
  std::shared_ptr<const Function> function_;
};

/// A map per key. Each map key is an entry of its own, so reading and changing one costs the same
/// however large the map is, and a snapshot in between copies no other. Map keys are equal if their
/// encodings are. Walks are in no particular order, which may differ from run to run.
///
///   ++orders.mutable_value(order.amount);  // 0 for a new one
///   long sum = 0;
///   orders.for_each([&](const double&, const long& number) { sum += number; });
///
/// A pointer or reference that it returns is valid until the next call on any handle of that function.
/// Threads: the task's.
template <class K, Described V>
class MapState : public StateHandleOf<V, Timed<V>> {
  static_assert(
      Described<K>,
      "the map key of this MapState is not described: use a number, a string, or describe "
      "its type with WEIR_FIELDS or WEIR_AS");

 public:
  using StateHandleOf<V, Timed<V>>::StateHandleOf;

  /// The value of `map_key` under the current key, null if there is none.
  [[nodiscard]] const V* get(const K& map_key) const {
    const KeyContext entry = entry_of(map_key);
    if (this->is_timed()) [[unlikely]]
      return ttl::find(this->timed_table(), entry);
    return this->table().find(entry);
  }
  void put(const K& map_key, V value) { mutable_value(map_key) = std::move(value); }
  /// Puts every pair of `range`.
  template <class Range>
  void put_all(const Range& range) {
    for (const auto& [map_key, value] : range) put(map_key, value);
  }
  /// The value of `map_key`, to be changed in place; a default one if there was none.
  [[nodiscard]] V& mutable_value(const K& map_key) {
    const KeyContext entry = entry_of(map_key);
    if (this->is_timed()) [[unlikely]]
      return ttl::find_or_insert(this->timed_table(), entry);
    return this->table().find_or_insert(entry);
  }
  [[nodiscard]] bool contains(const K& map_key) const { return get(map_key) != nullptr; }
  void remove(const K& map_key) { this->erase(entry_of(map_key)); }
  /// Whether the current key has no entry.
  [[nodiscard]] bool is_empty() const {
    bool empty = true;
    walk([&](std::string_view, const V&) { return empty = false; });
    return empty;
  }
  /// Calls `f(const K&, const V&)` for each entry. `f` must not use handles of the function.
  template <class F>
  void for_each(F&& f) const {
    walk([&](std::string_view encoded, const V& value) {
      const K map_key = decode_key(encoded);
      f(map_key, value);
      return true;
    });
  }
  /// The same for `f(const K&)`.
  template <class F>
  void for_each_key(F&& f) const {
    walk([&](std::string_view encoded, const V&) {
      const K map_key = decode_key(encoded);
      f(map_key);
      return true;
    });
  }
  /// The same for `f(const V&)`.
  template <class F>
  void for_each_value(F&& f) const {
    walk([&](std::string_view, const V& value) {
      f(value);
      return true;
    });
  }
  /// Removes all entries of the current key.
  void clear() {
    begin_entry();
    if (this->is_timed()) [[unlikely]]
      this->timed_table().erase_all(this->key().group, key_bytes(), entry_);
    else
      this->table().erase_all(this->key().group, key_bytes(), entry_);
  }

 private:
  /// Fixed width of the key's encoding in bytes, 0 if it varies.
  [[nodiscard]] std::size_t key_width() const {
    return this->is_timed() ? this->timed_table().key_width() : this->table().key_width();
  }
  /// Makes `entry_` what all entries of the current key begin with behind the key group (see
  /// state/entry_key.hpp): no namespace and, so far, no map key.
  void begin_entry() const {
    const KeyContext& key = this->key();
    const std::size_t width = key_width();
    entry_.clear();
    ByteWriter writer(entry_);
    if (width == 0)
      writer.string(key.bytes);
    else if (width <= sizeof(key.word))
      writer.raw({reinterpret_cast<const char*>(&key.word), width});
    else
      writer.raw(key.bytes);
    key_end_ = entry_.size();
    writer.number(std::uint8_t{0});
  }
  /// The current key's encoding, after `begin_entry`.
  [[nodiscard]] std::string_view key_bytes() const {
    const std::size_t begin = key_width() == 0 ? sizeof(std::uint32_t) : 0;
    return std::string_view(entry_).substr(begin, key_end_ - begin);
  }
  [[nodiscard]] KeyContext entry_of(const K& map_key) const {
    begin_entry();
    ByteWriter writer(entry_);
    encode_key(map_key, writer);
    return {hash_bytes(entry_), this->key().group, 0, entry_};
  }
  [[nodiscard]] static K decode_key(std::string_view encoded) {
    ByteReader reader(encoded);
    K key{};
    decode(reader, key);
    if (!reader.complete())
      throw StateAccessFailed({Errc::corruption, "a map key does not decode: it is damaged"});
    return key;
  }
  /// Calls `f(encoded map key, value)` for each live entry of the current key until it returns false.
  template <class F>
  void walk(F&& f) const {
    begin_entry();
    const std::size_t prefix_size = entry_.size();
    if (this->is_timed()) [[unlikely]] {
      walk_timed(prefix_size, f);
      return;
    }
    this->table().walk(this->key().group, key_bytes(), entry_,
                       [&](std::string_view bytes, const V& value) {
                         return static_cast<bool>(f(bytes.substr(prefix_size), value));
                       });
  }
  template <class F>
  void walk_timed(std::size_t prefix_size, F& f) const {
    auto& table = this->timed_table();
    const TimeToLive& ttl = table.ttl();
    std::vector<std::string> older;  // that this read makes young again
    table.walk(this->key().group, key_bytes(), entry_,
               [&](std::string_view bytes, const Timed<V>& timed) {
                 if (timed.accessed_at_ms <= ttl.newest_expired_ms()) return true;
                 if (ttl.renews_on_read() && timed.accessed_at_ms < ttl.now_ms())
                   older.emplace_back(bytes);
                 return static_cast<bool>(f(bytes.substr(prefix_size), timed.value));
               });
    for (const std::string& bytes : older)
      table.find_or_insert({hash_bytes(bytes), this->key().group, 0, bytes}).accessed_at_ms =
          ttl.now_ms();
  }

  // The entry key of the last call from behind the key group, and where the key ends in it. Kept, so
  // that a call with map keys of fixed size allocates nothing.
  mutable std::string entry_;
  mutable std::size_t key_end_ = 0;
};

namespace detail {

/// A list is declared by its elements, everything else by what is stored.
template <class V>
struct StoredElement {
  using Type = V;
};
template <class T>
struct StoredElement<ListValue<T>> {
  using Type = T;
};

template <class V>
[[nodiscard]] StateDeclaration declaration_of(std::string name, StateKind kind, Schema key_schema) {
  return {std::move(name), kind, std::move(key_schema),
          schema_of<typename StoredElement<V>::Type>()};
}
template <class K, class V>
[[nodiscard]] StateDeclaration map_declaration_of(std::string name, Schema key_schema) {
  return {std::move(name), StateKind::map, std::move(key_schema),
          Schema{SchemaKind::map, {}, {}, 0, schema_of<std::pair<K, V>>().children}};
}

/// The codec of values with a time that folds as `codec` does.
template <class T>
[[nodiscard]] EntryCodec<Timed<T>> timed_codec(const EntryCodec<T>& codec) {
  if (!codec.reduce) return {};
  return {[reduce = codec.reduce](const Timed<T>& a, const Timed<T>& b) {
    return Timed<T>{std::max(a.accessed_at_ms, b.accessed_at_ms), reduce(a.value, b.value)};
  }};
}
template <class T>
[[nodiscard]] EntryCodec<ListValue<Timed<T>>> timed_codec(const EntryCodec<ListValue<T>>&) {
  return {};
}

}  // namespace detail

/// A new state: its table, and the handle that leads there.
template <class Handle>
struct NewState {
  std::unique_ptr<TableBase> table;
  Handle handle;
};

namespace detail {

/// Makes the table of a state whose values are `V`, or `TimedV` if it has a time to live, and passes it
/// to `make_handle`. `declare.template operator()<V>()` yields the declaration.
template <class V, class TimedV, class Declare, class MakeHandle>
[[nodiscard]] auto make_state(const std::optional<StateTtlConfig>& ttl, TableOptions options,
                              const std::shared_ptr<StateTime>& time, const EntryCodec<V>& codec,
                              const Declare& declare, const MakeHandle& make_handle)
    -> NewState<decltype(make_handle(static_cast<Table<V>*>(nullptr)))> {
  if (!ttl) {
    auto table = std::make_unique<Table<V>>(declare.template operator()<V>(), options, codec);
    auto handle = make_handle(table.get());
    return {std::move(table), std::move(handle)};
  }
  WEIR_ASSERT(time != nullptr && check_ttl(*ttl));
  options.ttl = std::make_shared<const TimeToLive>(TimeToLive{time, *ttl});
  auto table = std::make_unique<Table<TimedV>>(declare.template operator()<TimedV>(), options,
                                               timed_codec(codec));
  auto handle = make_handle(table.get());
  return {std::move(table), std::move(handle)};
}

}  // namespace detail

/// Makes the state that `descriptor` names, for keys of the given schema. The handle is bound to `key`,
/// which outlives it; `time` is for a state with a time to live, which passes `check_ttl`, and may be
/// null for others. `options.composite` and `options.ttl` are set here.
template <Described T>
[[nodiscard]] NewState<ValueState<T>> make_state(const ValueStateDescriptor<T>& descriptor,
                                                 const Schema& key_schema,
                                                 const TableOptions& options, const KeyContext* key,
                                                 const std::shared_ptr<StateTime>& time = nullptr) {
  return detail::make_state<T, Timed<T>>(
      descriptor.ttl, options, time, EntryCodec<T>{},
      [&]<class V>() {
        return detail::declaration_of<V>(descriptor.name, StateKind::value, key_schema);
      },
      [&](auto* table) { return ValueState<T>(table, key); });
}
template <Described T>
[[nodiscard]] NewState<ListState<T>> make_state(const ListStateDescriptor<T>& descriptor,
                                                const Schema& key_schema,
                                                const TableOptions& options, const KeyContext* key,
                                                const std::shared_ptr<StateTime>& time = nullptr) {
  return detail::make_state<ListValue<T>, ListValue<Timed<T>>>(
      descriptor.ttl, options, time, EntryCodec<ListValue<T>>{},
      [&]<class V>() {
        return detail::declaration_of<V>(descriptor.name, StateKind::list, key_schema);
      },
      [&](auto* table) { return ListState<T>(table, key); });
}
/// `descriptor.reduce` must be set.
template <Described T>
[[nodiscard]] NewState<ReducingState<T>> make_state(
    const ReducingStateDescriptor<T>& descriptor, const Schema& key_schema,
    const TableOptions& options, const KeyContext* key,
    const std::shared_ptr<StateTime>& time = nullptr) {
  WEIR_ASSERT(descriptor.reduce);
  return detail::make_state<T, Timed<T>>(
      descriptor.ttl, options, time, EntryCodec<T>{descriptor.reduce},
      [&]<class V>() {
        return detail::declaration_of<V>(descriptor.name, StateKind::reducing, key_schema);
      },
      [&](auto* table) { return ReducingState<T>(table, key); });
}
/// `descriptor.function` must be set.
template <class In, Described Acc, class Out>
[[nodiscard]] NewState<AggregatingState<In, Acc, Out>> make_state(
    const AggregatingStateDescriptor<In, Acc, Out>& descriptor, const Schema& key_schema,
    const TableOptions& options, const KeyContext* key,
    const std::shared_ptr<StateTime>& time = nullptr) {
  WEIR_ASSERT(descriptor.function);
  const EntryCodec<Acc> codec{[function = descriptor.function](const Acc& a, const Acc& b) {
    Acc merged = a;
    function->merge(b, merged);
    return merged;
  }};
  return detail::make_state<Acc, Timed<Acc>>(
      descriptor.ttl, options, time, codec,
      [&]<class V>() {
        return detail::declaration_of<V>(descriptor.name, StateKind::aggregating, key_schema);
      },
      [&](auto* table) { return AggregatingState<In, Acc, Out>(table, key, descriptor.function); });
}
template <class K, class V>
[[nodiscard]] NewState<MapState<K, V>> make_state(
    const MapStateDescriptor<K, V>& descriptor, const Schema& key_schema, TableOptions options,
    const KeyContext* key, const std::shared_ptr<StateTime>& time = nullptr) {
  options.composite = true;
  return detail::make_state<V, Timed<V>>(
      descriptor.ttl, options, time, EntryCodec<V>{},
      [&]<class Stored>() {
        return detail::map_declaration_of<K, Stored>(descriptor.name, key_schema);
      },
      [&](auto* table) { return MapState<K, V>(table, key); });
}

}  // namespace weir
