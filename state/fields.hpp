#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>

namespace weir {

/// Names a type in overload resolution without making a value of it.
template <class T>
struct TypeTag {
  using Type = T;
};

/// One described member: its name and where it lies.
template <class Owner, class Member>
struct Field {
  std::string_view name;
  Member Owner::* pointer;
};

/// The description that `WEIR_FIELDS` leaves behind: the type's name and its members, in order.
template <class Owner, class... Members>
struct FieldList {
  std::string_view type_name;
  std::tuple<Field<Owner, Members>...> fields;
};

template <class Owner, class... Members>
constexpr FieldList<Owner, Members...> make_field_list(std::string_view name,
                                                       Field<Owner, Members>... fields) {
  return {name, {fields...}};
}
template <class Owner>
constexpr FieldList<Owner> make_empty_field_list(std::string_view name) {
  return {name, {}};
}

/// One described enumerator.
template <class Enum>
struct Enumerator {
  std::string_view name;
  Enum value;
};

/// The description that `WEIR_ENUM` leaves behind.
template <class Enum, std::size_t N>
struct EnumeratorList {
  std::string_view type_name;
  std::array<Enumerator<Enum>, N> enumerators;
};

template <class Enum, class... Enumerators>
constexpr EnumeratorList<Enum, sizeof...(Enumerators)> make_enumerator_list(
    std::string_view name, Enumerators... enumerators) {
  return {name, {enumerators...}};
}

/// A type that `WEIR_ENUM` describes.
template <class T>
concept HasEnumerators = requires { weir_enumerators(TypeTag<T>{}); };

/// A type that `WEIR_FIELDS` describes.
template <class T>
concept HasFields = requires { weir_fields(TypeTag<T>{}); };

/// A type that `WEIR_AS` describes by a mirror.
template <class T>
concept HasMirror = requires { weir_mirror(TypeTag<T>{}); };

/// A type that `WEIR_SERIALIZER` leaves to a serializer of the job's own.
template <class T>
concept HasSerializer = requires { weir_serializer(TypeTag<T>{}); };

}  // namespace weir

// Applies `macro(context, argument)` to each argument, separated by commas; up to 64 arguments.
#define WEIR_PARENS ()
#define WEIR_EXPAND(...) WEIR_EXPAND3(WEIR_EXPAND3(WEIR_EXPAND3(WEIR_EXPAND3(__VA_ARGS__))))
#define WEIR_EXPAND3(...) WEIR_EXPAND2(WEIR_EXPAND2(WEIR_EXPAND2(WEIR_EXPAND2(__VA_ARGS__))))
#define WEIR_EXPAND2(...) WEIR_EXPAND1(WEIR_EXPAND1(WEIR_EXPAND1(WEIR_EXPAND1(__VA_ARGS__))))
#define WEIR_EXPAND1(...) __VA_ARGS__
#define WEIR_EACH(macro, context, ...) \
  __VA_OPT__(WEIR_EXPAND(WEIR_EACH_STEP(macro, context, __VA_ARGS__)))
#define WEIR_EACH_STEP(macro, context, first, ...) \
  , macro(context, first) __VA_OPT__(WEIR_EACH_AGAIN WEIR_PARENS(macro, context, __VA_ARGS__))
#define WEIR_EACH_AGAIN() WEIR_EACH_STEP
#define WEIR_FIELD(type, member) \
  ::weir::Field<type, decltype(type::member)> { #member, &type::member }

/// Describes a type once:
///
///   struct Bid {
///     long auction = 0;
///     double price = 0;
///   };
///   WEIR_FIELDS(Bid, auction, price)
///
/// Stands at namespace scope, in the namespace of the type, behind its definition, and needs no
/// semicolon. The type must be default-constructible; its default values are the values of fields that
/// an older snapshot does not have. From the description come the serializer, the key encoding, the
/// schema in every snapshot, JSON printing and `memory_usage`. Up to 64 members.
#define WEIR_FIELDS(Type, ...)                                                            \
  [[maybe_unused]] constexpr auto weir_fields(::weir::TypeTag<Type>) {                    \
    return ::weir::make_field_list<Type>(#Type WEIR_EACH(WEIR_FIELD, Type, __VA_ARGS__)); \
  }

/// Describes a type without members, such as a message that says everything by its name.
#define WEIR_NO_FIELDS(Type)                                           \
  [[maybe_unused]] constexpr auto weir_fields(::weir::TypeTag<Type>) { \
    return ::weir::make_empty_field_list<Type>(#Type);                 \
  }

/// Describes a foreign type by a described mirror that converts both ways:
///
///   struct UuidMirror {
///     std::string digits;
///     UuidMirror() = default;
///     explicit UuidMirror(const Uuid& uuid) : digits(uuid.to_string()) {}
///     explicit operator Uuid() const { return Uuid::parse(digits); }
///   };
///   WEIR_FIELDS(UuidMirror, digits)
///   WEIR_AS(Uuid, UuidMirror)
///
/// Stands in the namespace of the foreign type.
#define WEIR_AS(Foreign, Mirror)                                          \
  [[maybe_unused]] constexpr auto weir_mirror(::weir::TypeTag<Foreign>) { \
    return ::weir::TypeTag<Mirror>{};                                     \
  }

/// Leaves a type to a serializer of the job's own, for types that neither fields nor a mirror can
/// describe. Tools then show its values as bytes, so it is the last resort. Stands in the namespace of
/// the type. The type is default-constructible and cannot be a key. The serializer:
///
///   struct SketchSerializer {
///     static constexpr std::string_view name = "sketch";  // for ever
///     static constexpr std::uint16_t version = 2;         // of what `write` writes
///     static constexpr std::uint16_t oldest_version = 1;  // that `read` reads; optional, else `version`
///     static void write(const Sketch& sketch, weir::ByteWriter& writer);
///     /// All of the bytes that `write` of that version wrote; `reader.fail()` if they are none.
///     static void read(weir::ByteReader& reader, std::uint16_t version, Sketch& sketch);
///     /// Memory beyond `sizeof`; not needed if the type is trivially copyable.
///     static std::size_t heap_bytes(const Sketch& sketch);
///   };
///   WEIR_SERIALIZER(Sketch, SketchSerializer)
///
/// `write` and `read` may be called on any thread, on different values at the same time.
#define WEIR_SERIALIZER(Type, Serializer)                                  \
  [[maybe_unused]] constexpr auto weir_serializer(::weir::TypeTag<Type>) { \
    return ::weir::TypeTag<Serializer>{};                                  \
  }

/// Describes an enumeration, so that decoding refuses unknown values and tools print names:
///
///   enum class Side : std::uint8_t { buy, sell };
///   WEIR_ENUM(Side, buy, sell)
///
/// Stands in the namespace of the type. Up to 64 enumerators.
#define WEIR_ENUMERATOR(type, member) \
  ::weir::Enumerator<type> { #member, type::member }
#define WEIR_ENUM(Type, ...)                                                \
  [[maybe_unused]] constexpr auto weir_enumerators(::weir::TypeTag<Type>) { \
    return ::weir::make_enumerator_list<Type>(                              \
        #Type WEIR_EACH(WEIR_ENUMERATOR, Type, __VA_ARGS__));               \
  }
