#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "state/bytes.hpp"
#include "state/result.hpp"

namespace weir {

/// The shapes that an encoded value can have. The numbers are part of the snapshot format.
enum class SchemaKind : std::uint8_t {
  boolean = 1,
  int8 = 2,
  int16 = 3,
  int32 = 4,
  int64 = 5,
  uint8 = 6,
  uint16 = 7,
  uint32 = 8,
  uint64 = 9,
  float32 = 10,
  float64 = 11,
  string = 12,  ///< u32 length, bytes
  array = 13,   ///< `number` elements of `children[0]`, no count
  list = 14,    ///< u32 count, elements of `children[0]`
  set = 15,     ///< as list; unordered sets sorted by encoded element
  map = 16,     ///< u32 count, pairs of `children[0]`, `children[1]`; unordered maps sorted by key
  optional = 17,     ///< u8 0 or 1, then `children[0]` if 1
  structure = 18,    ///< `children` one after the other; `name` is the type's
  variant = 19,      ///< u8 index into `children`, then that one
  enumeration = 20,  ///< as `children[0]`, the underlying type; further children name the values
  reference = 21,    ///< the enclosing structure called `name`, for recursive types
  raw =
      22,  ///< u32 length, u16 version, bytes of the serializer `name`, which writes version `number`
           ///< and reads from that of `children[0]` on, if there is one
};
WEIR_ENUM(SchemaKind, boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32,
          float64, string, array, list, set, map, optional, structure, variant, enumeration,
          reference, raw)

/// Says how a value was encoded, so that it can be read, shown and compared without the program that
/// wrote it. It travels in every snapshot beside the values.
struct Schema {
  SchemaKind kind = SchemaKind::structure;
  std::string name;         ///< of the type (structure, enumeration, reference, raw), else empty
  std::string label;        ///< the field's or enumerator's name within the parent, else empty
  std::int64_t number = 0;  ///< array length, enumerator value or version (raw), else 0
  std::vector<Schema> children;
  bool operator==(const Schema&) const = default;
};
WEIR_FIELDS(Schema, kind, name, label, number, children)

/// Whether `schema` is one that describes values: numbers of children, labels, references to structures
/// around them. To be asked of every schema that comes from a file. Errors: `corruption`.
[[nodiscard]] Status check_schema(const Schema& schema);

/// Bytes of the encoding of a `kind` from `boolean` to `float64`.
[[nodiscard]] std::size_t scalar_width(SchemaKind kind);
/// Bytes of every encoding of a value that `schema` describes, 0 if they vary or there are none: what
/// `Codec<T>::fixed_width` is for the type. 2^32 - 1 stands for all that is longer. Requires a schema that
/// `check_schema` accepts.
[[nodiscard]] std::uint32_t fixed_width(const Schema& schema);

/// The schema as one line for people, such as `Bid{auction: int64, price: float64}`.
[[nodiscard]] std::string to_string(const Schema& schema);

/// Appends the value that `reader` stands at, which `schema` describes, to `json`. 64-bit integers are
/// printed as numbers, byte strings that are not UTF-8 with \u00XX escapes, raw values as hex.
/// Errors: `corruption` if the bytes do not fit the schema.
[[nodiscard]] Status append_json(const Schema& schema, ByteReader& reader, std::string& json);

/// Whether values written with `writer` are read as `reader` byte by byte; names of types do not matter,
/// names of fields and of serializers do. A serializer must read the version that was written. (For state
/// whose type has changed see state/schema_evolution.hpp.) Errors: `state_incompatible`, with the path of
/// the first field that differs.
[[nodiscard]] Status check_compatible(const Schema& writer, const Schema& reader);

}  // namespace weir
