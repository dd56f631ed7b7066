#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "state/codec.hpp"
#include "state/schema.hpp"

namespace weir {

/// How values that one schema describes become values of another, because the type has changed since a
/// snapshot was taken:
/// - a field of a structure was added (it gets what a default-constructed structure has), was removed
///   (it is dropped) or has moved;
/// - a number was widened: to a type that holds all values of the old one exactly;
/// - a type became an optional of it; an enumeration got more enumerators; a variant got more
///   alternatives behind the old ones.
/// Everything else is refused, and so is any change in keys of maps and elements of sets, whose order
/// in the encoding would change. Names of structures do not matter, names of fields do.
/// Threads: any, as nothing changes after construction.
class SchemaMigration {
 public:
  /// `defaults` are those of the reader's type. Errors: `state_incompatible`, with the path of the first
  /// field that cannot be read; `corruption` if `writer` is no schema.
  [[nodiscard]] static Result<SchemaMigration> between(const Schema& writer, const Schema& reader,
                                                       const SchemaDefaults& defaults);
  /// Whether every value's bytes stay as they are.
  [[nodiscard]] bool changes_nothing() const { return !changes_; }
  /// Reads one value as the writer wrote it and appends it to `out` as the reader would have. Fails
  /// `from` if it is not one.
  void migrate(ByteReader& from, std::string& out) const;

 private:
  friend class MigrationBuilder;
  enum class Step : std::uint8_t {
    scalar,    // from `from` to `to`
    string,    // bytes with their length before them
    array,     // `count` of `children[0]`
    list,      // a count, as many of `children[0]`
    map,       // a count, as many pairs
    optional,  // 0, or 1 and `children[0]`
    wrap,      // becomes an optional that is there
    structure,
    variant  // `children` by index
  };
  struct Node {
    Step step = Step::scalar;
    SchemaKind from = SchemaKind::int8;
    SchemaKind to = SchemaKind::int8;
    std::uint64_t count = 0;
    std::vector<std::uint32_t> children;  // of a structure: the writer's fields in their order
    /// Of a structure: the reader's fields in their order, each an index into `children` or, below 0,
    /// ~index into `defaults`.
    std::vector<std::int32_t> sources;
    std::vector<std::string> defaults;
    bool moves = false;  // of a structure: not simply its fields one behind the other
  };
  void run(std::uint32_t index, ByteReader& from, std::string& out) const;
  void run_counted(std::uint64_t count, const Node& node, ByteReader& from, std::string& out) const;
  void run_structure(const Node& node, ByteReader& from, std::string& out) const;

  std::vector<Node> nodes_;
  std::uint32_t root_ = 0;
  bool changes_ = false;
};

/// Whether state written with `writer` can be read as `reader`, possibly by way of a migration. Errors: as
/// `SchemaMigration::between`, but for defaults that nobody knows.
[[nodiscard]] Status check_readable(const Schema& writer, const Schema& reader);

/// A field that the reader's type lacks, so that its values are dropped.
struct DroppedField {
  std::string path;  ///< such as `address.<element>.street`
  std::string
      renamed_to;  ///< a field of the same type that only the reader has beside it; empty if there is none
  bool operator==(const DroppedField&) const = default;
};

/// What is lost when values of `writer` are read as `reader`: each field once, in the writer's order; none if
/// they cannot be read.
[[nodiscard]] std::vector<DroppedField> dropped_fields(const Schema& writer, const Schema& reader);

}  // namespace weir
