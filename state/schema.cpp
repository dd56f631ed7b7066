#include "state/schema.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace weir {
namespace {

/// Elements of zero width that one value may have: they cost no bytes, so only a count bounds them.
constexpr int zero_width_elements_max = 65536;
/// As deep as `ByteReader::enter` lets a value nest.
constexpr int schema_depth_max = 64;

bool is_integer(SchemaKind kind) { return kind >= SchemaKind::int8 && kind <= SchemaKind::uint64; }

/// Tuples and pairs are structures whose fields are called "0", "1", ...
bool is_tuple(const Schema& schema) {
  if (!schema.name.empty() || schema.children.empty()) return false;
  for (std::size_t i = 0; i < schema.children.size(); ++i)
    if (schema.children[i].label != std::to_string(i)) return false;
  return true;
}

/// The structures around a place in a schema, innermost last.
using Enclosing = std::vector<const Schema*>;

/// The place of the innermost structure called `name`, counted from the outermost; -1 if there is none.
int enclosing_index(const Enclosing& enclosing, const std::string& name) {
  for (std::size_t i = enclosing.size(); i-- > 0;)
    if (enclosing[i]->name == name) return static_cast<int>(i);
  return -1;
}

std::string_view scalar_name(SchemaKind kind) {
  switch (kind) {
    case SchemaKind::boolean:
      return "bool";
    case SchemaKind::int8:
      return "int8";
    case SchemaKind::int16:
      return "int16";
    case SchemaKind::int32:
      return "int32";
    case SchemaKind::int64:
      return "int64";
    case SchemaKind::uint8:
      return "uint8";
    case SchemaKind::uint16:
      return "uint16";
    case SchemaKind::uint32:
      return "uint32";
    case SchemaKind::uint64:
      return "uint64";
    case SchemaKind::float32:
      return "float32";
    case SchemaKind::float64:
      return "float64";
    case SchemaKind::string:
      return "string";
    case SchemaKind::array:
      return "array";
    case SchemaKind::list:
      return "list";
    case SchemaKind::set:
      return "set";
    case SchemaKind::map:
      return "map";
    case SchemaKind::optional:
      return "optional";
    case SchemaKind::structure:
      return "structure";
    case SchemaKind::variant:
      return "variant";
    case SchemaKind::enumeration:
      return "enum";
    case SchemaKind::reference:
      return "reference";
    case SchemaKind::raw:
      return "raw";
  }
  return "?";
}

Status malformed(const std::string& reason) {
  return error(Errc::corruption, "a schema is malformed: " + reason);
}

Status check_schema_within(const Schema& schema, Enclosing& enclosing, int depth) {
  if (depth > schema_depth_max) return malformed("it is nested too deeply");
  const std::size_t count = schema.children.size();
  const auto needs = [&](bool fits) -> Status {
    if (fits) return {};
    return malformed(std::string(scalar_name(schema.kind)) + " with " + std::to_string(count) +
                     " children");
  };
  switch (schema.kind) {
    case SchemaKind::array:
      if (schema.number < 0) return malformed("array of negative length");
      WEIR_TRY(needs(count == 1));
      break;
    case SchemaKind::list:
    case SchemaKind::set:
    case SchemaKind::optional:
      WEIR_TRY(needs(count == 1));
      break;
    case SchemaKind::map:
      WEIR_TRY(needs(count == 2));
      break;
    case SchemaKind::variant:
      WEIR_TRY(needs(count >= 1 && count <= 256));
      break;
    case SchemaKind::structure:
      for (const Schema& child : schema.children)
        if (child.label.empty()) return malformed("a field without a name");
      break;
    case SchemaKind::enumeration:
      WEIR_TRY(needs(count >= 1));
      if (!is_integer(schema.children[0].kind) && schema.children[0].kind != SchemaKind::boolean)
        return malformed("an enumeration that is no integer");
      for (std::size_t i = 1; i < count; ++i)
        if (schema.children[i].label.empty() || !schema.children[i].children.empty())
          return malformed("an enumerator without a name");
      break;
    case SchemaKind::reference:
      if (enclosing_index(enclosing, schema.name) < 0)
        return malformed("a reference to '" + schema.name + "', which is not around it");
      return needs(count == 0);
    case SchemaKind::raw:
      WEIR_TRY(needs(count <= 1));
      if (count == 1 && (schema.children[0].kind != SchemaKind::int64 ||
                         !schema.children[0].children.empty() || schema.children[0].label.empty()))
        return malformed("a serializer that reads from no version on");
      return {};
    default:
      return needs(count == 0);
  }
  const bool is_structure = schema.kind == SchemaKind::structure;
  if (is_structure) enclosing.push_back(&schema);
  for (const Schema& child : schema.children)
    WEIR_TRY(check_schema_within(child, enclosing, depth + 1));
  if (is_structure) enclosing.pop_back();
  return {};
}

void append_text(const Schema& schema, std::string& out);

void append_children(const Schema& schema, std::string_view open, std::string_view close,
                     bool labels, std::string& out) {
  out += open;
  for (std::size_t i = 0; i < schema.children.size(); ++i) {
    if (i > 0) out += ", ";
    if (labels) out += schema.children[i].label + ": ";
    append_text(schema.children[i], out);
  }
  out += close;
}

void append_text(const Schema& schema, std::string& out) {
  switch (schema.kind) {
    case SchemaKind::structure:
      out += schema.name;
      if (is_tuple(schema))
        append_children(schema, "(", ")", false, out);
      else
        append_children(schema, "{", "}", true, out);
      return;
    case SchemaKind::enumeration:
      out += "enum " + schema.name + "{";
      for (std::size_t i = 1; i < schema.children.size(); ++i)
        out += (i > 1 ? ", " : "") + schema.children[i].label + "=" +
               std::to_string(schema.children[i].number);
      out += "}";
      return;
    case SchemaKind::reference:
      out += schema.name;
      return;
    case SchemaKind::raw:
      out += "raw " + schema.name + " version " + std::to_string(schema.number);
      if (!schema.children.empty())
        out += " reading from " + std::to_string(schema.children[0].number);
      return;
    case SchemaKind::array:
      append_children(schema, "array<", ", " + std::to_string(schema.number) + ">", false, out);
      return;
    default:
      out += scalar_name(schema.kind);
      if (!schema.children.empty()) append_children(schema, "<", ">", false, out);
  }
}

/// Length of the UTF-8 sequence at the beginning of `text`, 0 if there is none. No overlong forms, no
/// surrogates, nothing above U+10FFFF.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void append_hex_byte(unsigned char byte, std::string& out) {
  constexpr std::string_view digits = "0123456789abcdef";
  out.push_back(digits[byte >> 4]);
  out.push_back(digits[byte & 15]);
}

void append_json_string(std::string_view text, std::string& json) {
  const bool readable = is_utf8(text);
  json.push_back('"');
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      json.push_back('\\');
      json.push_back(character);
    } else if (character == '\n') {
      json += "\\n";
    } else if (character == '\t') {
      json += "\\t";
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !readable)) {
      json += "\\u00";
      append_hex_byte(byte, json);
    } else {
      json.push_back(character);
    }
  }
  json.push_back('"');
}

template <class T>
void append_number(T value, std::string& json) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  json.append(text, end);
}

/// JSON has no infinity and no NaN; they become strings.
template <class T>
void append_floating(T value, std::string& json) {
  if (std::isnan(value))
    json += "\"NaN\"";
  else if (std::isinf(value))
    json += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  else
    append_number(value, json);
}

class JsonPrinter {
 public:
  JsonPrinter(ByteReader& reader, std::string& json) : reader_(reader), json_(json) {}

  void print(const Schema& schema) {
    switch (schema.kind) {
      case SchemaKind::boolean:
        print_boolean();
        return;
      case SchemaKind::int8:
        append_number<int>(reader_.number<std::int8_t>(), json_);
        return;
      case SchemaKind::int16:
        append_number(reader_.number<std::int16_t>(), json_);
        return;
      case SchemaKind::int32:
        append_number(reader_.number<std::int32_t>(), json_);
        return;
      case SchemaKind::int64:
        append_number(reader_.number<std::int64_t>(), json_);
        return;
      case SchemaKind::uint8:
        append_number<int>(reader_.number<std::uint8_t>(), json_);
        return;
      case SchemaKind::uint16:
        append_number(reader_.number<std::uint16_t>(), json_);
        return;
      case SchemaKind::uint32:
        append_number(reader_.number<std::uint32_t>(), json_);
        return;
      case SchemaKind::uint64:
        append_number(reader_.number<std::uint64_t>(), json_);
        return;
      case SchemaKind::float32:
        append_floating(reader_.number<float>(), json_);
        return;
      case SchemaKind::float64:
        append_floating(reader_.number<double>(), json_);
        return;
      case SchemaKind::string:
        append_json_string(reader_.string(), json_);
        return;
      case SchemaKind::array:
        print_elements(static_cast<std::uint64_t>(schema.number), schema.children[0]);
        return;
      case SchemaKind::list:
      case SchemaKind::set:
        print_elements(reader_.number<std::uint32_t>(), schema.children[0]);
        return;
      case SchemaKind::map:
        print_map(schema);
        return;
      case SchemaKind::optional:
        print_optional(schema.children[0]);
        return;
      case SchemaKind::structure:
        print_structure(schema);
        return;
      case SchemaKind::variant:
        print_variant(schema);
        return;
      case SchemaKind::enumeration:
        print_enumeration(schema);
        return;
      case SchemaKind::reference:
        print_reference(schema);
        return;
      case SchemaKind::raw:
        print_raw();
        return;
    }
    reader_.fail();
  }

 private:
  void print_boolean() {
    const auto value = reader_.number<std::uint8_t>();
    if (value > 1) reader_.fail();
    json_ += value == 1 ? "true" : "false";
  }

  /// Prints one of many; an element that takes no bytes is charged, because bytes do not bound them.
  void print_element(const Schema& schema) {
    const std::size_t before = reader_.remaining();
    print(schema);
    if (reader_.remaining() == before && ++zero_width_elements_ > zero_width_elements_max)
      reader_.fail();
  }

  void print_elements(std::uint64_t count, const Schema& element) {
    json_.push_back('[');
    for (std::uint64_t i = 0; i < count && !reader_.failed(); ++i) {
      if (i > 0) json_.push_back(',');
      print_element(element);
    }
    json_.push_back(']');
  }

  /// An object if the key is a string, a number or an enumerator, else a list of pairs.
  void print_map(const Schema& schema) {
    const Schema& key = schema.children[0];
    const bool is_object = key.kind <= SchemaKind::string || key.kind == SchemaKind::enumeration;
    const auto count = reader_.number<std::uint32_t>();
    json_.push_back(is_object ? '{' : '[');
    for (std::uint32_t i = 0; i < count && !reader_.failed(); ++i) {
      if (i > 0) json_.push_back(',');
      if (!is_object) json_.push_back('[');
      const std::size_t begin = json_.size();
      const std::size_t before = reader_.remaining();
      print(key);
      if (is_object && json_[begin] != '"') {
        json_.insert(begin, 1, '"');
        json_.push_back('"');
      }
      json_.push_back(is_object ? ':' : ',');
      print(schema.children[1]);
      if (!is_object) json_.push_back(']');
      if (reader_.remaining() == before && ++zero_width_elements_ > zero_width_elements_max)
        reader_.fail();
    }
    json_.push_back(is_object ? '}' : ']');
  }

  void print_optional(const Schema& held) {
    const auto present = reader_.number<std::uint8_t>();
    if (present > 1) reader_.fail();
    if (present == 1)
      print(held);
    else
      json_ += "null";
  }

  void print_structure(const Schema& schema) {
    reader_.enter();
    if (!reader_.failed()) {
      enclosing_.push_back(&schema);
      const bool tuple = is_tuple(schema);
      json_.push_back(tuple ? '[' : '{');
      for (std::size_t i = 0; i < schema.children.size() && !reader_.failed(); ++i) {
        if (i > 0) json_.push_back(',');
        if (!tuple) {
          append_json_string(schema.children[i].label, json_);
          json_.push_back(':');
        }
        print(schema.children[i]);
      }
      json_.push_back(tuple ? ']' : '}');
      enclosing_.pop_back();
    }
    reader_.leave();
  }

  void print_variant(const Schema& schema) {
    const auto index = reader_.number<std::uint8_t>();
    if (index >= schema.children.size()) reader_.fail();
    if (reader_.failed()) return;
    json_ += "{\"index\":" + std::to_string(index) + ",\"value\":";
    print(schema.children[index]);
    json_.push_back('}');
  }

  void print_enumeration(const Schema& schema) {
    const std::size_t begin = json_.size();
    print(schema.children[0]);
    if (schema.children.size() == 1 || reader_.failed()) return;
    const std::string number = json_.substr(begin);
    json_.resize(begin);
    for (std::size_t i = 1; i < schema.children.size(); ++i) {
      const std::int64_t value = schema.children[i].number;
      const std::string text = enumerator_text(schema.children[0].kind, value);
      if (text != number) continue;
      append_json_string(schema.children[i].label, json_);
      return;
    }
    reader_.fail();
  }

  /// How `print` shows `value` of the underlying type.
  static std::string enumerator_text(SchemaKind underlying, std::int64_t value) {
    if (underlying == SchemaKind::boolean) return value == 0 ? "false" : "true";
    if (underlying == SchemaKind::uint64) return std::to_string(static_cast<std::uint64_t>(value));
    return std::to_string(value);
  }

  void print_reference(const Schema& schema) {
    const int index = enclosing_index(enclosing_, schema.name);
    if (index < 0) return reader_.fail();
    // The structure is described from where it stands: those further inside are not around it.
    Enclosing outer(enclosing_.begin(), enclosing_.begin() + index);
    const Schema& target = *enclosing_[static_cast<std::size_t>(index)];
    std::swap(outer, enclosing_);
    print(target);
    std::swap(outer, enclosing_);
  }

  void print_raw() {
    json_.push_back('"');
    for (const char byte : reader_.string())
      append_hex_byte(static_cast<unsigned char>(byte), json_);
    json_.push_back('"');
  }

  ByteReader& reader_;
  std::string& json_;
  Enclosing enclosing_;
  int zero_width_elements_ = 0;
};

/// Compares two schemas and remembers the way to the place it stands at.
class CompatibilityCheck {
 public:
  Status compare(const Schema& was, const Schema& is) {
    if (was.kind != is.kind) return differs(was, is);
    if (was.kind == SchemaKind::raw) return compare_serializers(was, is);
    if (was.number != is.number) return differs(was, is);
    switch (was.kind) {
      case SchemaKind::structure:
        return compare_structures(was, is);
      case SchemaKind::enumeration:
        return compare_enumerations(was, is);
      case SchemaKind::reference:
        // The types' names may differ, so what counts is which structure around it is meant.
        if (enclosing_index(was_enclosing_, was.name) != enclosing_index(is_enclosing_, is.name))
          return differs(was, is);
        return {};
      default:
        break;
    }
    if (was.children.size() != is.children.size()) return differs(was, is);
    for (std::size_t i = 0; i < was.children.size(); ++i) {
      path_.push_back(element_name(was.kind, i));
      WEIR_TRY(compare(was.children[i], is.children[i]));
      path_.pop_back();
    }
    return {};
  }

 private:
  static std::string element_name(SchemaKind kind, std::size_t index) {
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

  [[nodiscard]] Status differs(const Schema& was, const Schema& is) const {
    const std::string path = path_to("");
    const std::string subject = path.empty() ? "the type " : "field '" + path + "' ";
    return error(Errc::state_incompatible,
                 subject + "was " + to_string(was) + ", is " + to_string(is));
  }

  Status compare_structures(const Schema& was, const Schema& is) {
    const auto find = [](const Schema& schema, const std::string& label) {
      return std::ranges::find(schema.children, label, &Schema::label) != schema.children.end();
    };
    const auto field = [&](const std::string& label, std::string_view what) {
      return error(Errc::state_incompatible, "field '" + path_to(label) + "' " + std::string(what));
    };
    was_enclosing_.push_back(&was);
    is_enclosing_.push_back(&is);
    const std::size_t common = std::min(was.children.size(), is.children.size());
    for (std::size_t i = 0; i < common; ++i) {
      const Schema& old_field = was.children[i];
      const Schema& new_field = is.children[i];
      if (old_field.label != new_field.label) {
        if (!find(is, old_field.label) && !find(was, new_field.label))
          return field(old_field.label, "is now called '" + new_field.label + "'");
        if (!find(is, old_field.label)) return field(old_field.label, "was removed");
        if (!find(was, new_field.label)) return field(new_field.label, "was added");
        return field(old_field.label, "has moved to another place");
      }
      path_.push_back(old_field.label);
      WEIR_TRY(compare(old_field, new_field));
      path_.pop_back();
    }
    if (was.children.size() > common) return field(was.children[common].label, "was removed");
    if (is.children.size() > common) return field(is.children[common].label, "was added");
    was_enclosing_.pop_back();
    is_enclosing_.pop_back();
    return {};
  }

  [[nodiscard]] Status compare_serializers(const Schema& was, const Schema& is) const {
    // Values that an older program wrote may still be among those of the newest one.
    const auto oldest = [](const Schema& schema) {
      return schema.children.empty() ? schema.number : schema.children[0].number;
    };
    if (was.name != is.name || was.number > is.number || oldest(was) < oldest(is))
      return differs(was, is);
    return {};
  }

  [[nodiscard]] Status compare_enumerations(const Schema& was, const Schema& is) const {
    if (was.children.size() != is.children.size() || was.children.empty()) return differs(was, is);
    if (was.children[0].kind != is.children[0].kind)
      return differs(was.children[0], is.children[0]);
    for (std::size_t i = 1; i < was.children.size(); ++i)
      if (was.children[i].label != is.children[i].label ||
          was.children[i].number != is.children[i].number)
        return differs(was, is);
    return {};
  }

  std::vector<std::string> path_;
  Enclosing was_enclosing_;
  Enclosing is_enclosing_;
};

}  // namespace

Status check_schema(const Schema& schema) {
  Enclosing enclosing;
  return check_schema_within(schema, enclosing, 0);
}

std::size_t scalar_width(SchemaKind kind) {
  switch (kind) {
    case SchemaKind::boolean:
    case SchemaKind::int8:
    case SchemaKind::uint8:
      return 1;
    case SchemaKind::int16:
    case SchemaKind::uint16:
      return 2;
    case SchemaKind::int32:
    case SchemaKind::uint32:
    case SchemaKind::float32:
      return 4;
    default:
      return 8;
  }
}

std::uint32_t fixed_width(const Schema& schema) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t width = 0;
  switch (schema.kind) {
    case SchemaKind::array: {
      const std::uint64_t element = fixed_width(schema.children[0]);
      const auto count = static_cast<std::uint64_t>(schema.number);
      width = element == 0 || count <= most / element ? element * count : most;
      break;
    }
    case SchemaKind::structure:
      for (const Schema& field : schema.children) {
        const std::uint64_t part = fixed_width(field);
        if (part == 0) return 0;
        width = std::min(width + part, most);
      }
      break;
    case SchemaKind::enumeration:
      return fixed_width(schema.children[0]);
    default:
      if (schema.kind <= SchemaKind::float64) width = scalar_width(schema.kind);
  }
  return static_cast<std::uint32_t>(width);
}

std::string to_string(const Schema& schema) {
  std::string text;
  append_text(schema, text);
  return text;
}

Status append_json(const Schema& schema, ByteReader& reader, std::string& json) {
  WEIR_TRY(check_schema(schema));
  JsonPrinter(reader, json).print(schema);
  if (reader.failed())
    return error(Errc::corruption, "a value does not fit its schema " + to_string(schema));
  return {};
}

Status check_compatible(const Schema& writer, const Schema& reader) {
  WEIR_TRY(check_schema(writer));
  return CompatibilityCheck().compare(writer, reader);
}

}  // namespace weir
