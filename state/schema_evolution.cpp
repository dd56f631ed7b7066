#include "state/schema_evolution.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace weir {

namespace {

/// Elements that cost no bytes are bounded by their count alone, as where values are decoded.
constexpr std::uint64_t zero_width_elements_max = 65536;

bool is_signed(SchemaKind kind) { return kind >= SchemaKind::int8 && kind <= SchemaKind::int64; }
bool is_unsigned(SchemaKind kind) {
  return kind >= SchemaKind::uint8 && kind <= SchemaKind::uint64;
}
bool is_scalar(SchemaKind kind) { return kind <= SchemaKind::float64; }
/// Bits of an integer kind.
int bits_of(SchemaKind kind) {
  const int first = static_cast<int>(is_signed(kind) ? SchemaKind::int8 : SchemaKind::uint8);
  return 8 << (static_cast<int>(kind) - first);
}

/// Whether `to` holds every value of `from` exactly.
bool holds_all(SchemaKind to, SchemaKind from) {
  if (from == to) return true;
  if (from == SchemaKind::float32) return to == SchemaKind::float64;
  if (!is_signed(from) && !is_unsigned(from)) return false;
  const int bits = bits_of(from);
  if (to == SchemaKind::float32) return bits <= 16;
  if (to == SchemaKind::float64) return bits <= 32;
  if (is_signed(to)) return is_signed(from) ? bits_of(to) >= bits : bits_of(to) > bits;
  return is_unsigned(to) && is_unsigned(from) && bits_of(to) >= bits;
}

/// A number of a kind below 64 bits, or any of the same kind.
struct Number {
  std::int64_t integer = 0;
  double floating = 0;
  bool is_floating = false;
};

template <class T>
Number read_as(ByteReader& from) {
  const T value = from.number<T>();
  if constexpr (std::is_floating_point_v<T>)
    return {0, value, true};
  else
    return {static_cast<std::int64_t>(value), 0, false};
}
Number read_number(SchemaKind kind, ByteReader& from) {
  switch (kind) {
    case SchemaKind::int8:
      return read_as<std::int8_t>(from);
    case SchemaKind::int16:
      return read_as<std::int16_t>(from);
    case SchemaKind::int32:
      return read_as<std::int32_t>(from);
    case SchemaKind::int64:
      return read_as<std::int64_t>(from);
    case SchemaKind::boolean:
    case SchemaKind::uint8:
      return read_as<std::uint8_t>(from);
    case SchemaKind::uint16:
      return read_as<std::uint16_t>(from);
    case SchemaKind::uint32:
      return read_as<std::uint32_t>(from);
    case SchemaKind::uint64:
      return read_as<std::uint64_t>(from);
    case SchemaKind::float32:
      return read_as<float>(from);
    default:
      return read_as<double>(from);
  }
}
template <class T>
void write_as(const Number& number, ByteWriter& out) {
  out.number(number.is_floating ? static_cast<T>(number.floating) : static_cast<T>(number.integer));
}
void write_number(SchemaKind kind, const Number& number, ByteWriter& out) {
  switch (kind) {
    case SchemaKind::int8:
      return write_as<std::int8_t>(number, out);
    case SchemaKind::int16:
      return write_as<std::int16_t>(number, out);
    case SchemaKind::int32:
      return write_as<std::int32_t>(number, out);
    case SchemaKind::int64:
      return write_as<std::int64_t>(number, out);
    case SchemaKind::boolean:
    case SchemaKind::uint8:
      return write_as<std::uint8_t>(number, out);
    case SchemaKind::uint16:
      return write_as<std::uint16_t>(number, out);
    case SchemaKind::uint32:
      return write_as<std::uint32_t>(number, out);
    case SchemaKind::uint64:
      return write_as<std::uint64_t>(number, out);
    case SchemaKind::float32:
      return write_as<float>(number, out);
    default:
      return write_as<double>(number, out);
  }
}

const Schema* find_field(const Schema& structure, const std::string& label) {
  const auto found = std::ranges::find(structure.children, label, &Schema::label);
  return found == structure.children.end() ? nullptr : &*found;
}

}  // namespace

/// Walks through both schemas at once. A structure within which the walk stands is a frame, and a
/// reference leads back to one.
class MigrationBuilder {
 public:
  /// `defaults` is null if every default is to be taken for known.
  MigrationBuilder(SchemaMigration& into, const SchemaDefaults* defaults)
      : into_(into), defaults_(defaults) {}

  Result<std::uint32_t> build(const Schema& was, const Schema& is) {
    using Step = SchemaMigration::Step;
    if (is.kind == SchemaKind::optional && was.kind != SchemaKind::optional) {
      into_.changes_ = true;
      WEIR_TRY_ASSIGN(held, build(was, is.children[0]));
      return add({.step = Step::wrap, .children = {held}});
    }
    if (is_scalar(was.kind) && is_scalar(is.kind)) {
      if (!holds_all(is.kind, was.kind)) return differs(was, is);
      return add_scalar(was.kind, is.kind);
    }
    if (was.kind != is.kind) return differs(was, is);
    switch (was.kind) {
      case SchemaKind::string:
        return add({.step = Step::string});
      case SchemaKind::raw:
        if (!check_compatible(was, is)) return differs(was, is);
        return add({.step = Step::string});
      case SchemaKind::array:
        if (was.number != is.number) return differs(was, is);
        return build_parts({.step = Step::array, .count = static_cast<std::uint64_t>(was.number)},
                           was, is);
      case SchemaKind::list:
        return build_parts({.step = Step::list}, was, is);
      case SchemaKind::set:
        if (!check_compatible(was, is)) return differs(was, is);
        return build_parts({.step = Step::list}, was, is);
      case SchemaKind::map: {
        // Only a key without references is sure to mean the same by itself.
        if (!check_compatible(was.children[0], is.children[0])) {
          path_.emplace_back("<key>");
          return differs(was.children[0], is.children[0]);
        }
        return build_parts({.step = Step::map}, was, is);
      }
      case SchemaKind::optional:
        return build_parts({.step = Step::optional}, was, is);
      case SchemaKind::variant:
        if (was.children.size() > is.children.size()) return differs(was, is);
        return build_parts({.step = Step::variant}, was, is);
      case SchemaKind::enumeration:
        return build_enumeration(was, is);
      case SchemaKind::structure:
        return build_structure(was, is);
      case SchemaKind::reference:
        return build_reference(was, is);
      default:
        return differs(was, is);
    }
  }

  /// What the reader lacks. Call after `build`.
  [[nodiscard]] std::vector<DroppedField> take_dropped() { return std::move(dropped_); }

 private:
  struct Frame {
    const Schema* was = nullptr;
    const Schema* is = nullptr;
    std::uint32_t node = 0;
  };

  std::uint32_t add(SchemaMigration::Node node) {
    into_.nodes_.push_back(std::move(node));
    return static_cast<std::uint32_t>(into_.nodes_.size() - 1);
  }
  std::uint32_t add_scalar(SchemaKind from, SchemaKind to) {
    into_.changes_ = into_.changes_ || from != to;
    return add({.step = SchemaMigration::Step::scalar, .from = from, .to = to});
  }

  Result<std::uint32_t> build_parts(SchemaMigration::Node node, const Schema& was,
                                    const Schema& is) {
    for (std::size_t i = 0; i < was.children.size(); ++i) {
      path_.push_back(part_name(was.kind, i));
      WEIR_TRY_ASSIGN(child, build(was.children[i], is.children[i]));
      node.children.push_back(child);
      path_.pop_back();
    }
    return add(std::move(node));
  }

  Result<std::uint32_t> build_enumeration(const Schema& was, const Schema& is) {
    const SchemaKind from = was.children[0].kind;
    const SchemaKind to = is.children[0].kind;
    if (!holds_all(to, from)) return differs(was.children[0], is.children[0]);
    // Without names any number is a value; with names those alone.
    if (was.children.size() == 1 && is.children.size() > 1) return differs(was, is);
    for (std::size_t i = 1; i < was.children.size() && is.children.size() > 1; ++i) {
      const Schema& old = was.children[i];
      const auto kept = std::ranges::find_if(
          is.children.begin() + 1, is.children.end(),
          [&](const Schema& one) { return one.label == old.label && one.number == old.number; });
      if (kept == is.children.end()) return refused("", "lacks the enumerator '" + old.label + "'");
    }
    return add_scalar(from, to);
  }

  Result<std::uint32_t> build_structure(const Schema& was, const Schema& is) {
    const std::uint32_t index = add({.step = SchemaMigration::Step::structure});
    frames_.push_back({&was, &is, index});
    SchemaMigration::Node node{.step = SchemaMigration::Step::structure};
    node.sources.resize(is.children.size());
    for (std::size_t i = 0; i < was.children.size(); ++i) {
      const Schema& old = was.children[i];
      const Schema* now = find_field(is, old.label);
      if (now == nullptr) {
        note_dropped(old, was, is);
        WEIR_TRY_ASSIGN(passed_over, build_copy(old, enclosing()));
        node.children.push_back(passed_over);
        node.moves = true;
        continue;
      }
      path_.push_back(old.label);
      WEIR_TRY_ASSIGN(child, build(old, *now));
      path_.pop_back();
      node.children.push_back(child);
      const auto place = static_cast<std::size_t>(now - is.children.data());
      node.sources[place] = static_cast<std::int32_t>(i);
      node.moves = node.moves || place != i;
    }
    for (std::size_t i = 0; i < is.children.size(); ++i) {
      const Schema& field = is.children[i];
      if (find_field(was, field.label) != nullptr) continue;
      WEIR_TRY_ASSIGN(bytes, default_of(is, i));
      node.sources[i] = ~static_cast<std::int32_t>(node.defaults.size());
      node.defaults.push_back(std::move(bytes));
      node.moves = true;
    }
    into_.changes_ = into_.changes_ || node.moves;
    frames_.pop_back();
    into_.nodes_[index] = std::move(node);
    return index;
  }

  /// Field `old` of `was` is not in `is`. A new field there of the same type may be its new name.
  void note_dropped(const Schema& old, const Schema& was, const Schema& is) {
    DroppedField dropped{path_to(old.label), {}};
    for (const Schema& field : is.children) {
      if (find_field(was, field.label) != nullptr || !check_compatible(old, field)) continue;
      dropped.renamed_to = field.label;
      break;
    }
    if (std::ranges::find(dropped_, dropped.path, &DroppedField::path) == dropped_.end())
      dropped_.push_back(std::move(dropped));
  }

  Result<std::uint32_t> build_reference(const Schema& was, const Schema& is) {
    for (std::size_t i = frames_.size(); i-- > 0;) {
      const bool meets_was = frames_[i].was->name == was.name;
      const bool meets_is = frames_[i].is->name == is.name;
      if (meets_was && meets_is) return frames_[i].node;
      if (meets_was || meets_is) break;  // they mean different structures
    }
    return differs(was, is);
  }

  /// The structures of the writer around this place.
  [[nodiscard]] std::vector<const Schema*> enclosing() const {
    std::vector<const Schema*> structures;
    for (const Frame& frame : frames_) structures.push_back(frame.was);
    return structures;
  }
  /// A node that reads a value of the writer's to pass over it; it yields the same bytes.
  Result<std::uint32_t> build_copy(const Schema& schema, std::vector<const Schema*> around) {
    using Step = SchemaMigration::Step;
    if (is_scalar(schema.kind))
      return add({.step = Step::scalar, .from = schema.kind, .to = schema.kind});
    switch (schema.kind) {
      case SchemaKind::string:
      case SchemaKind::raw:
        return add({.step = Step::string});
      case SchemaKind::enumeration:
        return build_copy(schema.children[0], std::move(around));
      case SchemaKind::reference: {
        const auto found = std::ranges::find_if(
            around.rbegin(), around.rend(), [&](const auto* s) { return s->name == schema.name; });
        WEIR_ASSERT(found != around.rend());  // `check_schema` has seen to it
        const Schema& target = **found;
        around.erase((found + 1).base(), around.end());
        return build_copy(target, std::move(around));
      }
      default:
        break;
    }
    const bool is_structure = schema.kind == SchemaKind::structure;
    if (is_structure) {
      if (const auto known = copies_.find(&schema); known != copies_.end()) return known->second;
      around.push_back(&schema);
    }
    SchemaMigration::Node node;
    node.step = is_structure                          ? Step::structure
                : schema.kind == SchemaKind::array    ? Step::array
                : schema.kind == SchemaKind::map      ? Step::map
                : schema.kind == SchemaKind::optional ? Step::optional
                : schema.kind == SchemaKind::variant  ? Step::variant
                                                      : Step::list;
    node.count = static_cast<std::uint64_t>(schema.number);
    const std::uint32_t index = add(node);
    if (is_structure) copies_[&schema] = index;
    for (const Schema& child : schema.children) {
      WEIR_TRY_ASSIGN(copy, build_copy(child, around));
      node.children.push_back(copy);
    }
    into_.nodes_[index] = std::move(node);
    return index;
  }

  /// The encoding of field `index` of a default-constructed `structure`.
  Result<std::string> default_of(const Schema& structure, std::size_t index) {
    const std::string& label = structure.children[index].label;
    if (structure.name.empty()) return refused(label, "was added to a tuple");
    if (defaults_ == nullptr) return std::string();
    const std::string* bytes = defaults_->find(structure.name);
    if (bytes == nullptr)
      return refused(label, "was added to one of several structures called '" + structure.name +
                                "', so its default is not known; rename one of them");
    // The fields before it are passed over. Their references lead to the reader's structures.
    SchemaMigration fields;
    MigrationBuilder builder(fields, nullptr);
    std::vector<const Schema*> around;
    for (const Frame& frame : frames_) around.push_back(frame.is);
    ByteReader reader(*bytes);
    std::string field;
    for (std::size_t i = 0; i <= index; ++i) {
      WEIR_TRY_ASSIGN(node, builder.build_copy(structure.children[i], around));
      field.clear();
      fields.run(node, reader, field);
    }
    WEIR_ASSERT(!reader.failed());
    return field;
  }

  static std::string part_name(SchemaKind kind, std::size_t index) {
    if (kind == SchemaKind::map) return index == 0 ? "<key>" : "<value>";
    if (kind == SchemaKind::variant) return "<alternative " + std::to_string(index) + ">";
    if (kind == SchemaKind::optional) return "";
    return "<element>";
  }
  [[nodiscard]] std::string path_to(const std::string& label) const {
    std::string path;
    for (const std::string& step : path_)
      if (!step.empty()) path += (path.empty() ? "" : ".") + step;
    if (!label.empty()) path += (path.empty() ? "" : ".") + label;
    return path;
  }
  [[nodiscard]] std::string subject(const std::string& label) const {
    const std::string path = path_to(label);
    return path.empty() ? "the type" : "field '" + path + "'";
  }
  [[nodiscard]] std::unexpected<Error> refused(const std::string& label,
                                               const std::string& why) const {
    return error(Errc::state_incompatible, subject(label) + " " + why);
  }
  [[nodiscard]] std::unexpected<Error> differs(const Schema& was, const Schema& is) const {
    return refused("", "was " + to_string(was) + ", is " + to_string(is));
  }

  SchemaMigration& into_;
  const SchemaDefaults* defaults_;
  std::vector<std::string> path_;
  std::vector<Frame> frames_;
  std::map<const Schema*, std::uint32_t> copies_;
  std::vector<DroppedField> dropped_;
};

Result<SchemaMigration> SchemaMigration::between(const Schema& writer, const Schema& reader,
                                                 const SchemaDefaults& defaults) {
  WEIR_TRY(check_schema(writer));
  SchemaMigration migration;
  WEIR_TRY_ASSIGN(root, MigrationBuilder(migration, &defaults).build(writer, reader));
  migration.root_ = root;
  return migration;
}

Status check_readable(const Schema& writer, const Schema& reader) {
  WEIR_TRY(check_schema(writer));
  SchemaMigration migration;
  WEIR_TRY_ASSIGN(root, MigrationBuilder(migration, nullptr).build(writer, reader));
  (void)root;
  return {};
}

std::vector<DroppedField> dropped_fields(const Schema& writer, const Schema& reader) {
  if (!check_schema(writer)) return {};
  SchemaMigration migration;
  MigrationBuilder builder(migration, nullptr);
  return builder.build(writer, reader) ? builder.take_dropped() : std::vector<DroppedField>{};
}

void SchemaMigration::migrate(ByteReader& from, std::string& out) const { run(root_, from, out); }

void SchemaMigration::run(std::uint32_t index, ByteReader& from, std::string& out) const {
  const Node& node = nodes_[index];
  ByteWriter writer(out);
  switch (node.step) {
    case Step::scalar:
      if (node.from == node.to)
        writer.raw(from.raw(scalar_width(node.from)));
      else
        write_number(node.to, read_number(node.from, from), writer);
      return;
    case Step::string:
      writer.string(from.string());
      return;
    case Step::array:
      run_counted(node.count, node, from, out);
      return;
    case Step::list:
    case Step::map: {
      const auto count = from.number<std::uint32_t>();
      writer.number(count);
      run_counted(count, node, from, out);
      return;
    }
    case Step::optional: {
      const auto there = from.number<std::uint8_t>();
      if (there > 1) from.fail();
      writer.number(there);
      if (there == 1) run(node.children[0], from, out);
      return;
    }
    case Step::wrap:
      writer.number(std::uint8_t{1});
      run(node.children[0], from, out);
      return;
    case Step::structure:
      from.enter();
      if (!from.failed()) run_structure(node, from, out);
      from.leave();
      return;
    case Step::variant: {
      const auto which = from.number<std::uint8_t>();
      if (which >= node.children.size()) from.fail();
      if (from.failed()) return;
      writer.number(which);
      run(node.children[which], from, out);
      return;
    }
  }
}

void SchemaMigration::run_counted(std::uint64_t count, const Node& node, ByteReader& from,
                                  std::string& out) const {
  std::uint64_t zero_width = 0;
  for (std::uint64_t i = 0; i < count && !from.failed(); ++i) {
    const std::size_t before = from.remaining();
    for (const std::uint32_t child : node.children) run(child, from, out);
    if (from.remaining() == before && ++zero_width > zero_width_elements_max) from.fail();
  }
}

void SchemaMigration::run_structure(const Node& node, ByteReader& from, std::string& out) const {
  if (!node.moves) {
    for (const std::uint32_t child : node.children) run(child, from, out);
    return;
  }
  std::vector<std::string> fields(node.children.size());
  for (std::size_t i = 0; i < fields.size(); ++i) run(node.children[i], from, fields[i]);
  for (const std::int32_t source : node.sources)
    out += source >= 0 ? fields[static_cast<std::size_t>(source)]
                       : node.defaults[static_cast<std::size_t>(~source)];
}

}  // namespace weir
