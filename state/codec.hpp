#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "state/bytes.hpp"
#include "state/fields.hpp"
#include "state/schema.hpp"

namespace weir {

/// Which of the two encodings is wanted. They differ in floating-point numbers alone: a key has one
/// zero and one NaN, a value keeps its bits.
enum class Encoding : std::uint8_t { value, key };

/// The encodings of default-constructed structures, by name: what a field that was added to a type gets
/// when values are read that were written before.
class SchemaDefaults {
 public:
  /// Null if there is no structure called `name`, or several that differ.
  [[nodiscard]] const std::string* find(std::string_view name) const {
    const auto found = encodings_.find(name);
    return found == encodings_.end() || !found->second ? nullptr : &*found->second;
  }
  void add(std::string_view name, std::string encoding) {
    const auto [place, is_new] = encodings_.emplace(name, encoding);
    if (!is_new && place->second != encoding) place->second.reset();
  }

 private:
  std::map<std::string, std::optional<std::string>, std::less<>> encodings_;
};

/// Remembers which structures are being described, so that a recursive type ends in a reference.
class SchemaContext {
 public:
  SchemaContext() = default;
  /// Also collects the defaults of all structures into `defaults`, which outlives the context.
  explicit SchemaContext(SchemaDefaults* defaults) : defaults_(defaults) {}
  [[nodiscard]] SchemaDefaults* defaults() const { return defaults_; }
  [[nodiscard]] bool contains(std::string_view name) const {
    return std::ranges::find(open_, name) != open_.end();
  }
  void push(std::string_view name) { open_.push_back(name); }
  void pop() { open_.pop_back(); }

 private:
  std::vector<std::string_view> open_;
  SchemaDefaults* defaults_ = nullptr;
};

/// How a type is written, read, described and measured. Specialized here for scalars, strings,
/// containers, optional, pair, tuple, variant, enumerations, described types and those with a serializer
/// of their own. Members:
/// - `fixed_width`: bytes of every encoding, 0 if they vary; `min_width`: bytes of the shortest one
/// - `encode<Encoding>(value, writer)`, `decode(reader, value)`: a failed decode fails the reader
/// - `schema(context)`, `heap_bytes(value)`: memory that the value holds beyond `sizeof`; none if it throws
template <class T>
struct Codec;

/// A type that Weir can keep in state and send from task to task.
template <class T>
concept Described = std::default_initializable<T> && requires { Codec<T>::fixed_width; };

/// Appends the encoding of `value` as state and messages hold it.
template <Described T>
void encode(const T& value, ByteWriter& writer) {
  Codec<T>::template encode<Encoding::value>(value, writer);
}
template <Described T>
[[nodiscard]] std::string encode_value(const T& value) {
  std::string bytes;
  ByteWriter writer(bytes);
  encode(value, writer);
  return bytes;
}
/// Appends the canonical encoding of `key`; two keys are equal if these bytes are.
template <Described T>
void encode_key(const T& key, ByteWriter& writer) {
  Codec<T>::template encode<Encoding::key>(key, writer);
}
/// Reads one value; on bad bytes the reader has failed and the value is unspecified.
template <Described T>
void decode(ByteReader& reader, T& value) {
  Codec<T>::decode(reader, value);
}
/// Reads exactly one value from all of `bytes`. Errors: `corruption`, naming `what`.
template <Described T>
[[nodiscard]] Result<T> decode_value(std::string_view bytes, std::string_view what) {
  ByteReader reader(bytes);
  T value{};
  decode(reader, value);
  if (!reader.complete())
    return error(Errc::corruption,
                 std::string(what) + " does not decode: it is damaged or of another version");
  return value;
}
/// The schema of `T`.
template <Described T>
[[nodiscard]] Schema schema_of() {
  SchemaContext context;
  return Codec<T>::schema(context);
}
/// The defaults of `T` and of all structures in it.
template <Described T>
[[nodiscard]] SchemaDefaults defaults_of() {
  SchemaDefaults defaults;
  SchemaContext context(&defaults);
  (void)Codec<T>::schema(context);
  return defaults;
}
/// Bytes of memory that `value` occupies, with heap: what bounds queues, segments and budgets.
template <Described T>
[[nodiscard]] std::size_t memory_usage(const T& value) {
  return sizeof(T) + Codec<T>::heap_bytes(value);
}
/// True if no value of `T` holds memory beyond `sizeof(T)`.
template <class T>
constexpr bool is_flat = std::is_trivially_copyable_v<T>;

namespace detail {

template <class T>
constexpr SchemaKind scalar_kind() {
  if constexpr (std::is_same_v<T, bool>)
    return SchemaKind::boolean;
  else if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? SchemaKind::float32 : SchemaKind::float64;
  else {
    constexpr int log = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return static_cast<SchemaKind>(
        static_cast<int>(std::is_signed_v<T> ? SchemaKind::int8 : SchemaKind::uint8) + log);
  }
}

inline Schema labelled(Schema schema, std::string_view label) {
  schema.label = label;
  return schema;
}

/// Reads a count of elements that need at least `min_width` bytes each; fails the reader if the rest
/// cannot hold them, so that nothing is allocated on a stranger's word.
inline std::size_t read_count(ByteReader& reader, std::size_t min_width) {
  const auto count = reader.number<std::uint32_t>();
  const bool fits = min_width == 0 ? count <= 65536 : count <= reader.remaining() / min_width;
  if (!fits) reader.fail();
  return reader.failed() ? 0 : count;
}

template <class T>
constexpr bool bulk_copyable =
    std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && !std::is_floating_point_v<T>;

/// Ordered sequences: `vector`, `deque`.
template <class Container, class T>
struct SequenceCodec {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const Container& values, ByteWriter& writer) {
    writer.number(static_cast<std::uint32_t>(values.size()));
    if constexpr (bulk_copyable<T> && std::is_same_v<Container, std::vector<T>>) {
      writer.raw({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
    } else {
      for (const T& value : values) Codec<T>::template encode<E>(value, writer);
    }
  }
  static void decode(ByteReader& reader, Container& values) {
    const std::size_t count = read_count(reader, Codec<T>::min_width);
    values.clear();
    for (std::size_t i = 0; i < count && !reader.failed(); ++i) {
      T value{};
      Codec<T>::decode(reader, value);
      values.push_back(std::move(value));
    }
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::list, {}, {}, 0, {Codec<T>::schema(context)}};
  }
  static std::size_t heap_bytes(const Container& values) {
    std::size_t bytes = values.size() * sizeof(T);
    if constexpr (std::is_same_v<Container, std::vector<T>>) bytes = values.capacity() * sizeof(T);
    if constexpr (!is_flat<T>)
      for (const T& value : values) bytes += Codec<T>::heap_bytes(value);
    return bytes;
  }
};

/// Sets and maps. Ordered ones are written in their order, unordered ones by encoded element.
template <class Container, class Element, bool ordered, SchemaKind kind>
struct AssociativeCodec {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 4;
  /// Memory of a node beyond its element: pointers and colour, or pointer and cached hash.
  static constexpr std::size_t node_overhead = 40;
  template <Encoding E>
  static void encode(const Container& values, ByteWriter& writer) {
    writer.number(static_cast<std::uint32_t>(values.size()));
    if constexpr (ordered) {
      for (const auto& value : values) Codec<Element>::template encode<E>(value, writer);
    } else {
      std::vector<std::string> encoded;
      encoded.reserve(values.size());
      for (const auto& value : values) {
        ByteWriter element(encoded.emplace_back());
        Codec<Element>::template encode<E>(value, element);
      }
      std::ranges::sort(encoded);
      for (const auto& bytes : encoded) writer.raw(bytes);
    }
  }
  static void decode(ByteReader& reader, Container& values) {
    const std::size_t count = read_count(reader, Codec<Element>::min_width);
    values.clear();
    for (std::size_t i = 0; i < count && !reader.failed(); ++i) {
      Element value{};
      Codec<Element>::decode(reader, value);
      values.insert(std::move(value));
    }
  }
  static Schema schema(SchemaContext& context) {
    Schema element = Codec<Element>::schema(context);
    if constexpr (kind == SchemaKind::map)
      return {kind, {}, {}, 0, std::move(element.children)};
    else
      return {kind, {}, {}, 0, {std::move(element)}};
  }
  static std::size_t heap_bytes(const Container& values) {
    std::size_t bytes = values.size() * (sizeof(Element) + node_overhead);
    if constexpr (!is_flat<Element>)
      for (const auto& value : values) bytes += Codec<Element>::heap_bytes(value);
    return bytes;
  }
};

template <class... Ts>
constexpr std::size_t summed_width() {
  if constexpr (((Codec<std::remove_const_t<Ts>>::fixed_width == 0) || ...))
    return 0;
  else
    return (std::size_t{0} + ... + Codec<std::remove_const_t<Ts>>::fixed_width);
}
template <class... Ts>
constexpr std::size_t summed_min_width() {
  return (std::size_t{0} + ... + Codec<std::remove_const_t<Ts>>::min_width);
}

/// Tuples and pairs, as structures with the fields "0", "1", ...
template <class Tuple, class... Ts>
struct TupleCodec {
  static constexpr std::size_t fixed_width = summed_width<Ts...>();
  static constexpr std::size_t min_width = summed_min_width<Ts...>();
  template <Encoding E>
  static void encode(const Tuple& tuple, ByteWriter& writer) {
    std::apply(
        [&](const auto&... parts) {
          (Codec<std::remove_cvref_t<decltype(parts)>>::template encode<E>(parts, writer), ...);
        },
        tuple);
  }
  static void decode(ByteReader& reader, Tuple& tuple) {
    std::apply(
        [&](auto&... parts) {
          (Codec<std::remove_cvref_t<decltype(parts)>>::decode(
               reader, const_cast<std::remove_cvref_t<decltype(parts)>&>(parts)),
           ...);
        },
        tuple);
  }
  static Schema schema(SchemaContext& context) {
    Schema result{SchemaKind::structure, {}, {}, 0, {}};
    (result.children.push_back(labelled(Codec<std::remove_const_t<Ts>>::schema(context),
                                        std::to_string(result.children.size()))),
     ...);
    return result;
  }
  static std::size_t heap_bytes(const Tuple& tuple) {
    return std::apply(
        [](const auto&... parts) {
          return (std::size_t{0} + ... +
                  Codec<std::remove_cvref_t<decltype(parts)>>::heap_bytes(parts));
        },
        tuple);
  }
};

template <class T>
struct MemberTypes;
template <class Owner, class... Members>
struct MemberTypes<FieldList<Owner, Members...>> {
  static constexpr std::size_t fixed_width = summed_width<Members...>();
  static constexpr std::size_t min_width = summed_min_width<Members...>();
};
/// A recursive type has no complete member codecs while it is being described; its width varies.
template <class T>
using FieldsOf = std::remove_cvref_t<decltype(weir_fields(TypeTag<T>{}))>;

}  // namespace detail

template <class T>
  requires std::is_arithmetic_v<T>
struct Codec<T> {
  static constexpr std::size_t fixed_width = sizeof(T);
  static constexpr std::size_t min_width = sizeof(T);
  template <Encoding E>
  static void encode(T value, ByteWriter& writer) {
    if constexpr (E == Encoding::key && std::is_floating_point_v<T>) {
      if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();
      if (value == T{0}) value = T{0};
    }
    writer.number(value);
  }
  static void decode(ByteReader& reader, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      const auto raw = reader.number<std::uint8_t>();
      if (raw > 1) reader.fail();
      value = raw == 1;
    } else {
      value = reader.number<T>();
    }
  }
  static Schema schema(SchemaContext&) { return {detail::scalar_kind<T>(), {}, {}, 0, {}}; }
  static std::size_t heap_bytes(const T&) { return 0; }
};

template <class T>
  requires std::is_enum_v<T>
struct Codec<T> {
  using Raw = std::underlying_type_t<T>;
  static constexpr std::size_t fixed_width = sizeof(T);
  static constexpr std::size_t min_width = sizeof(T);
  template <Encoding E>
  static void encode(T value, ByteWriter& writer) {
    writer.number(static_cast<Raw>(value));
  }
  static void decode(ByteReader& reader, T& value) {
    value = static_cast<T>(reader.number<Raw>());
    if constexpr (HasEnumerators<T>) {
      constexpr auto list = weir_enumerators(TypeTag<T>{});
      for (const auto& one : list.enumerators)
        if (one.value == value) return;
      reader.fail();
    }
  }
  static Schema schema(SchemaContext& context) {
    Schema result{SchemaKind::enumeration, {}, {}, 0, {Codec<Raw>::schema(context)}};
    if constexpr (HasEnumerators<T>) {
      constexpr auto list = weir_enumerators(TypeTag<T>{});
      result.name = list.type_name;
      for (const auto& one : list.enumerators)
        result.children.push_back({SchemaKind::int64,
                                   {},
                                   std::string(one.name),
                                   static_cast<std::int64_t>(one.value),
                                   {}});
    }
    return result;
  }
  static std::size_t heap_bytes(const T&) { return 0; }
};

/// The enumerator's name, `?` for a value without one.
template <HasEnumerators T>
[[nodiscard]] std::string_view enumerator_name(T value) {
  constexpr auto list = weir_enumerators(TypeTag<T>{});
  for (const auto& one : list.enumerators)
    if (one.value == value) return one.name;
  return "?";
}

template <>
struct Codec<std::string> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const std::string& value, ByteWriter& writer) {
    writer.string(value);
  }
  static void decode(ByteReader& reader, std::string& value) { value = reader.string(); }
  static Schema schema(SchemaContext&) { return {SchemaKind::string, {}, {}, 0, {}}; }
  static std::size_t heap_bytes(const std::string& value) {
    return value.capacity() > 15 ? value.capacity() + 1 : 0;
  }
};

template <>
struct Codec<SharedBytes> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const SharedBytes& value, ByteWriter& writer) {
    writer.string(value.view());
  }
  static void decode(ByteReader& reader, SharedBytes& value) {
    value = SharedBytes(std::string(reader.string()));
  }
  static Schema schema(SchemaContext&) { return {SchemaKind::string, {}, {}, 0, {}}; }
  static std::size_t heap_bytes(const SharedBytes& value) { return value.size(); }
};

/// A shared immutable value, such as a large part of a message: written as an optional one.
template <class T>
struct Codec<std::shared_ptr<const T>> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 1;
  template <Encoding E>
  static void encode(const std::shared_ptr<const T>& value, ByteWriter& writer) {
    writer.number(static_cast<std::uint8_t>(value != nullptr));
    if (value) Codec<T>::template encode<E>(*value, writer);
  }
  static void decode(ByteReader& reader, std::shared_ptr<const T>& value) {
    bool present = false;
    Codec<bool>::decode(reader, present);
    value.reset();
    if (!present) return;
    auto decoded = std::make_shared<T>();
    Codec<T>::decode(reader, *decoded);
    value = std::move(decoded);
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::optional, {}, {}, 0, {Codec<T>::schema(context)}};
  }
  static std::size_t heap_bytes(const std::shared_ptr<const T>& value) {
    return value ? memory_usage(*value) : 0;
  }
};

template <class Rep, class Period>
struct Codec<std::chrono::duration<Rep, Period>> {
  using Duration = std::chrono::duration<Rep, Period>;
  static constexpr std::size_t fixed_width = sizeof(Rep);
  static constexpr std::size_t min_width = sizeof(Rep);
  template <Encoding E>
  static void encode(Duration value, ByteWriter& writer) {
    Codec<Rep>::template encode<E>(value.count(), writer);
  }
  static void decode(ByteReader& reader, Duration& value) {
    value = Duration(reader.number<Rep>());
  }
  static Schema schema(SchemaContext& context) { return Codec<Rep>::schema(context); }
  static std::size_t heap_bytes(const Duration&) { return 0; }
};

template <class T>
struct Codec<std::vector<T>> : detail::SequenceCodec<std::vector<T>, T> {};
template <class T>
struct Codec<std::deque<T>> : detail::SequenceCodec<std::deque<T>, T> {};
template <class T>
struct Codec<std::set<T>> : detail::AssociativeCodec<std::set<T>, T, true, SchemaKind::set> {};
template <class T>
struct Codec<std::unordered_set<T>>
    : detail::AssociativeCodec<std::unordered_set<T>, T, false, SchemaKind::set> {};
template <class K, class V>
struct Codec<std::map<K, V>>
    : detail::AssociativeCodec<std::map<K, V>, std::pair<K, V>, true, SchemaKind::map> {};
template <class K, class V>
struct Codec<std::unordered_map<K, V>>
    : detail::AssociativeCodec<std::unordered_map<K, V>, std::pair<K, V>, false, SchemaKind::map> {
};
template <class A, class B>
struct Codec<std::pair<A, B>> : detail::TupleCodec<std::pair<A, B>, A, B> {};
template <class... Ts>
struct Codec<std::tuple<Ts...>> : detail::TupleCodec<std::tuple<Ts...>, Ts...> {};

template <class T, std::size_t N>
struct Codec<std::array<T, N>> {
  static constexpr std::size_t fixed_width = Codec<T>::fixed_width * N;
  static constexpr std::size_t min_width = Codec<T>::min_width * N;
  template <Encoding E>
  static void encode(const std::array<T, N>& values, ByteWriter& writer) {
    if constexpr (detail::bulk_copyable<T>) {
      writer.raw({reinterpret_cast<const char*>(values.data()), N * sizeof(T)});
    } else {
      for (const T& value : values) Codec<T>::template encode<E>(value, writer);
    }
  }
  static void decode(ByteReader& reader, std::array<T, N>& values) {
    for (T& value : values) Codec<T>::decode(reader, value);
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::array, {}, {}, static_cast<std::int64_t>(N), {Codec<T>::schema(context)}};
  }
  static std::size_t heap_bytes(const std::array<T, N>& values) {
    std::size_t bytes = 0;
    if constexpr (!is_flat<T>)
      for (const T& value : values) bytes += Codec<T>::heap_bytes(value);
    return bytes;
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 1;
  template <Encoding E>
  static void encode(const std::optional<T>& value, ByteWriter& writer) {
    writer.number(static_cast<std::uint8_t>(value.has_value()));
    if (value) Codec<T>::template encode<E>(*value, writer);
  }
  static void decode(ByteReader& reader, std::optional<T>& value) {
    bool present = false;
    Codec<bool>::decode(reader, present);
    value.reset();
    if (present) Codec<T>::decode(reader, value.emplace());
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::optional, {}, {}, 0, {Codec<T>::schema(context)}};
  }
  static std::size_t heap_bytes(const std::optional<T>& value) {
    return value ? Codec<T>::heap_bytes(*value) : 0;
  }
};

template <class... Ts>
struct Codec<std::variant<Ts...>> {
  static_assert(sizeof...(Ts) <= 256);
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 1;
  template <Encoding E>
  static void encode(const std::variant<Ts...>& value, ByteWriter& writer) {
    writer.number(static_cast<std::uint8_t>(value.index()));
    std::visit(
        [&](const auto& held) {
          Codec<std::remove_cvref_t<decltype(held)>>::template encode<E>(held, writer);
        },
        value);
  }
  static void decode(ByteReader& reader, std::variant<Ts...>& value) {
    const auto index = reader.number<std::uint8_t>();
    if (index >= sizeof...(Ts)) return reader.fail();
    // By index, not by type: an alternative may come twice.
    [&]<std::size_t... Is>(std::index_sequence<Is...>) {
      ((Is == index ? Codec<Ts>::decode(reader, value.template emplace<Is>()) : void()), ...);
    }(std::index_sequence_for<Ts...>());
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::variant, {}, {}, 0, {Codec<Ts>::schema(context)...}};
  }
  static std::size_t heap_bytes(const std::variant<Ts...>& value) {
    return std::visit(
        [](const auto& held) {
          return Codec<std::remove_cvref_t<decltype(held)>>::heap_bytes(held);
        },
        value);
  }
};

template <HasFields T>
struct Codec<T> {
  using Members = detail::MemberTypes<detail::FieldsOf<T>>;
  static constexpr std::size_t fixed_width = Members::fixed_width;
  static constexpr std::size_t min_width = Members::min_width;
  template <Encoding E>
  static void encode(const T& value, ByteWriter& writer) {
    constexpr auto list = weir_fields(TypeTag<T>{});
    std::apply(
        [&](const auto&... field) {
          (Codec<std::remove_cvref_t<decltype(value.*(field.pointer))>>::template encode<E>(
               value.*(field.pointer), writer),
           ...);
        },
        list.fields);
  }
  static void decode(ByteReader& reader, T& value) {
    constexpr auto list = weir_fields(TypeTag<T>{});
    if constexpr (fixed_width == 0) reader.enter();
    std::apply(
        [&](const auto&... field) {
          (Codec<std::remove_cvref_t<decltype(value.*(field.pointer))>>::decode(
               reader, value.*(field.pointer)),
           ...);
        },
        list.fields);
    if constexpr (fixed_width == 0) reader.leave();
  }
  static Schema schema(SchemaContext& context) {
    constexpr auto list = weir_fields(TypeTag<T>{});
    if (context.contains(list.type_name))
      return {SchemaKind::reference, std::string(list.type_name), {}, 0, {}};
    context.push(list.type_name);
    if (context.defaults() != nullptr) context.defaults()->add(list.type_name, encode_value(T{}));
    Schema result{SchemaKind::structure, std::string(list.type_name), {}, 0, {}};
    std::apply(
        [&](const auto&... field) {
          (result.children.push_back(detail::labelled(
               Codec<std::remove_cvref_t<decltype(std::declval<T&>().*(field.pointer))>>::schema(
                   context),
               field.name)),
           ...);
        },
        list.fields);
    context.pop();
    return result;
  }
  static std::size_t heap_bytes(const T& value) {
    if constexpr (is_flat<T>)
      return 0;
    else {
      constexpr auto list = weir_fields(TypeTag<T>{});
      return std::apply(
          [&](const auto&... field) {
            return (std::size_t{0} + ... +
                    Codec<std::remove_cvref_t<decltype(value.*(field.pointer))>>::heap_bytes(
                        value.*(field.pointer)));
          },
          list.fields);
    }
  }
};

template <HasMirror T>
struct Codec<T> {
  using Mirror = typename decltype(weir_mirror(TypeTag<T>{}))::Type;
  static constexpr std::size_t fixed_width = Codec<Mirror>::fixed_width;
  static constexpr std::size_t min_width = Codec<Mirror>::min_width;
  template <Encoding E>
  static void encode(const T& value, ByteWriter& writer) {
    Codec<Mirror>::template encode<E>(Mirror(value), writer);
  }
  static void decode(ByteReader& reader, T& value) {
    Mirror mirror{};
    Codec<Mirror>::decode(reader, mirror);
    if (!reader.failed()) value = static_cast<T>(mirror);
  }
  static Schema schema(SchemaContext& context) { return Codec<Mirror>::schema(context); }
  static std::size_t heap_bytes(const T& value) { return Codec<Mirror>::heap_bytes(Mirror(value)); }
};

/// `u32 length | u16 version | what the serializer wrote`; the length counts the version. Every value has
/// its version, because a state may hold values of several.
template <HasSerializer T>
struct Codec<T> {
  using Serializer = typename decltype(weir_serializer(TypeTag<T>{}))::Type;
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = sizeof(std::uint32_t) + sizeof(std::uint16_t);
  static constexpr std::uint16_t version = Serializer::version;
  static constexpr std::uint16_t oldest_version = [] {
    if constexpr (requires { Serializer::oldest_version; })
      return std::uint16_t{Serializer::oldest_version};
    else
      return version;
  }();
  static_assert(oldest_version <= version, "a serializer reads what it writes");

  template <Encoding E>
  static void encode(const T& value, ByteWriter& writer) {
    static_assert(
        E == Encoding::value,
        "a type with WEIR_SERIALIZER cannot be a key: nobody can say that equal keys have "
        "equal bytes; describe it with WEIR_FIELDS or WEIR_AS");
    const std::size_t begin = writer.size();
    writer.number(std::uint32_t{0});
    writer.number(version);
    Serializer::write(value, writer);
    const auto length = static_cast<std::uint32_t>(writer.size() - begin - sizeof(std::uint32_t));
    std::memcpy(writer.buffer().data() + begin, &length, sizeof(length));
  }
  static void decode(ByteReader& reader, T& value) {
    ByteReader bytes(reader.string());
    const auto written_with = bytes.number<std::uint16_t>();
    if (bytes.failed() || written_with < oldest_version || written_with > version)
      return reader.fail();
    Serializer::read(bytes, written_with, value);
    if (!bytes.complete()) reader.fail();
  }
  static Schema schema(SchemaContext&) {
    Schema result{SchemaKind::raw, std::string(Serializer::name), {}, version, {}};
    if (oldest_version != version)
      result.children.push_back({SchemaKind::int64, {}, "oldest", oldest_version, {}});
    return result;
  }
  static std::size_t heap_bytes(const T& value) {
    if constexpr (requires { Serializer::heap_bytes(value); }) {
      return Serializer::heap_bytes(value);
    } else {
      static_assert(std::is_trivially_copyable_v<T>,
                    "the serializer of a type that may hold memory needs heap_bytes(value)");
      return 0;
    }
  }
};

}  // namespace weir
