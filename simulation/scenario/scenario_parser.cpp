#include "simulation/scenario/scenario_parser.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <regex>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "runtime/configuration.hpp"
#include "runtime/nearest.hpp"
#include "simulation/scenario/scenario_syntax.hpp"

namespace weir {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;
using V = ScenarioValue;

constexpr milliseconds default_time_limit = std::chrono::minutes(15);
/// What a step or expectation looks like in reports, at most.
constexpr std::size_t longest_text = 100;
/// The longest time that can be written.
constexpr std::int64_t longest_ms = std::int64_t{1000} * 24 * 60 * 60 * 1000;

/// What is wrong with a file, and where.
struct Wrong {
  YAML::Mark mark;
  std::string what;
};

std::string code(std::string_view word) { return "'" + std::string(word) + "'"; }

/// `a, b or c`.
std::string alternatives(std::span<const std::string_view> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
  return text;
}

/// Looks at the events of a file before nodes are made of it, so that it cannot make many or deep ones.
class Bounds final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Wrong{mark, "a second document begins; only one is allowed"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Wrong{mark, "aliases are not read; write the value again"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    count(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnMapEnd() override { --depth_; }

 private:
  void count(const YAML::Mark& mark) {
    if (++nodes_ > ScenarioLimits::nodes)
      throw Wrong{mark,
                  "the file has more than " + std::to_string(ScenarioLimits::nodes) + " values"};
  }
  void enter(const YAML::Mark& mark) {
    count(mark);
    if (++depth_ > ScenarioLimits::depth)
      throw Wrong{mark,
                  "values are nested more than " + std::to_string(ScenarioLimits::depth) + " deep"};
  }
  std::size_t documents_ = 0;
  std::size_t nodes_ = 0;
  std::size_t depth_ = 0;
};

/// A value as JSON: plain words as YAML means them, what is in quotes as text.
Json json_of(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Sequence: {
      Json list = Json::array();
      for (const auto& one : node) list.push_back(json_of(one));
      return list;
    }
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& pair : node) {
        const std::string key =
            pair.first.IsScalar() ? pair.first.Scalar() : json_of(pair.first).dump();
        if (object.contains(key))
          throw Wrong{pair.first.Mark(), code(key) + " stands twice; remove one of the two"};
        object[key] = json_of(pair.second);
      }
      return object;
    }
    case YAML::NodeType::Scalar: {
      const std::string& text = node.Scalar();
      if (node.Tag() != "?") return text;
      if (text == "null" || text == "~") return nullptr;
      if (text == "true") return true;
      if (text == "false") return false;
      static const std::regex number("[-+]?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?");
      if (text.size() < 64 && std::regex_match(text, number)) {
        Json json = Json::parse(text[0] == '+' ? text.substr(1) : text, nullptr, false);
        if (!json.is_discarded()) return json;
      }
      return text;
    }
    default:
      return nullptr;
  }
}

/// The values of a mapping that an item describes, each of the type that its field says.
struct Values {
  using One = std::variant<std::string, std::uint64_t, milliseconds, bool, ProcessName,
                           std::vector<ProcessName>, std::vector<std::string>,
                           std::map<std::string, std::string>, Json, MessagePattern,
                           std::vector<MessagePattern>, YAML::Node>;
  const ScenarioItem* item = nullptr;
  YAML::Mark mark;  ///< of the item's name
  std::map<std::string_view, std::pair<YAML::Mark, One>> all;

  [[nodiscard]] bool has(std::string_view name) const {
    WEIR_ASSERT(std::ranges::find(item->fields, name, &ScenarioField::name) != item->fields.end());
    return all.contains(name);
  }
  [[nodiscard]] YAML::Mark mark_of(std::string_view name) const { return all.at(name).first; }
  template <class T>
  [[nodiscard]] T get(std::string_view name, T otherwise = {}) const {
    return has(name) ? std::get<T>(all.at(name).second) : std::move(otherwise);
  }
  template <class T>
  [[nodiscard]] std::optional<T> find(std::string_view name) const {
    return has(name) ? std::optional<T>(std::get<T>(all.at(name).second)) : std::nullopt;
  }
  [[nodiscard]] std::string text(std::string_view name) const { return get<std::string>(name); }
  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t otherwise = 0) const {
    return get<std::uint64_t>(name, otherwise);
  }
};

template <class Enum>
Enum enumerator(std::string_view name) {
  constexpr auto list = weir_enumerators(TypeTag<Enum>{});
  for (const auto& one : list.enumerators)
    if (one.name == name) return one.value;
  WEIR_ASSERT(false);  // the table of the syntax names those that there are
}

[[noreturn]] void refuse(const YAML::Mark& mark, std::string what) {
  throw Wrong{mark, std::move(what)};
}

/// Such as `a list`, to say what stands in a wrong place.
std::string described(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar: {
      const std::string& text = node.Scalar();
      return code(text.size() > 60 ? text.substr(0, 57) + "..." : text);
    }
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a mapping";
    default:
      return "nothing";
  }
}

// ---- values of a field ------------------------------------------------------------------------------

std::uint64_t read_number(const YAML::Node& node, const std::string& key, std::uint64_t least) {
  const std::string wanted = "; write a whole number from " + std::to_string(least);
  if (!node.IsScalar()) refuse(node.Mark(), code(key) + " has " + described(node) + wanted);
  const std::string& text = node.Scalar();
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < least)
    refuse(node.Mark(), code(key) + " has " + described(node) + wanted);
  return value;
}

/// A number and a unit; none: `units[0]`.
std::int64_t read_quantity(const YAML::Node& node, const std::string& key, bool may_be_negative,
                           std::span<const std::pair<std::string_view, std::int64_t>> units,
                           std::int64_t most, const std::string& wanted) {
  if (!node.IsScalar()) refuse(node.Mark(), code(key) + " has " + described(node) + "; " + wanted);
  std::string_view text = node.Scalar();
  const bool negative = text.starts_with('-');
  if (negative && !may_be_negative)
    refuse(node.Mark(), code(key) + " has " + described(node) + ", which is below 0; " + wanted);
  text.remove_prefix(negative ? 1 : 0);
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  const auto unit = std::ranges::find_if(units, [&](const auto& one) { return one.first == text; });
  const std::int64_t factor = text.empty()          ? units[0].second
                              : unit == units.end() ? 0
                                                    : unit->second;
  if (failure != std::errc() || factor == 0 || value < 0)
    refuse(node.Mark(), code(key) + " has " + described(node) + "; " + wanted);
  if (value > most / factor)
    refuse(node.Mark(), code(key) + " has " + described(node) + ", which is too much; " + wanted);
  return negative ? -value * factor : value * factor;
}

milliseconds read_duration(const YAML::Node& node, const std::string& key, bool may_be_negative) {
  static constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  return milliseconds(read_quantity(node, key, may_be_negative, units, longest_ms,
                                    "write a whole number and a unit: ms, s, min, h or d, as in "
                                    "'10 s', and no more than 1000 d"));
}

std::uint64_t read_size(const YAML::Node& node, const std::string& key) {
  static constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  return static_cast<std::uint64_t>(read_quantity(node, key, false, units, std::int64_t{1} << 50,
                                                  "write bytes, or a number and KiB, MiB or GiB"));
}

std::string read_text(const YAML::Node& node, const std::string& key) {
  if (!node.IsScalar())
    refuse(node.Mark(), code(key) + " has " + described(node) + "; write a text");
  return node.Scalar();
}

std::string read_choice(const YAML::Node& node, const std::string& key,
                        std::span<const std::string_view> choices) {
  const std::string wanted = "write " + alternatives(choices);
  if (!node.IsScalar()) refuse(node.Mark(), code(key) + " has " + described(node) + "; " + wanted);
  const std::string& word = node.Scalar();
  if (std::ranges::find(choices, word) != choices.end()) return word;
  const auto meant = did_you_mean(word, choices);
  // With few choices it helps to see them all.
  refuse(node.Mark(), code(key) + " has " + described(node) +
                          (choices.size() > 8 && !meant.empty()
                               ? meant
                               : meant + (meant.empty() ? "; " : " ") + wanted));
}

ProcessName read_process(const YAML::Node& node, const std::string& key, bool is_end) {
  static constexpr std::string_view processes[] = {"job manager", "task manager N", "everything",
                                                   "host", "any"};
  static constexpr std::string_view ends[] = {"job manager", "task manager N", "client"};
  const std::string wanted = "; write " + (is_end ? alternatives(ends) : alternatives(processes));
  if (!node.IsScalar()) refuse(node.Mark(), code(key) + " has " + described(node) + wanted);
  const std::string& text = node.Scalar();
  if (text == "job manager") return {ProcessKind::job_manager, 0};
  if (is_end && text == "client") return {ProcessKind::client, 0};
  if (!is_end && text == "everything") return {ProcessKind::everything, 0};
  if (!is_end && text == "host") return {ProcessKind::host, 0};
  if (!is_end && text == "any") return {ProcessKind::any, 0};
  static constexpr std::string_view prefix = "task manager ";
  std::uint32_t number = 0;
  if (text.starts_with(prefix)) {
    const auto [end, failure] =
        std::from_chars(text.data() + prefix.size(), text.data() + text.size(), number);
    if (failure == std::errc() && end == text.data() + text.size() && number > 0)
      return {ProcessKind::task_manager, number};
  }
  refuse(node.Mark(), code(key) + " has " + described(node) + wanted);
}

std::string read_endpoint_text(const YAML::Mark& mark, const std::string& text) {
  static const std::regex form(
      "client|JobManager|CheckpointCoordinator|TaskManager(:[0-9]{1,9})?|Task(:[0-9]{1,9}/"
      "[0-9]{1,9})?");
  if (std::regex_match(text, form)) return text;
  static constexpr std::string_view actors[] = {"client", "JobManager", "CheckpointCoordinator",
                                                "TaskManager", "Task"};
  refuse(mark, code(text) + " is no actor" + did_you_mean(text, actors) +
                   "; actors are client, JobManager, CheckpointCoordinator, TaskManager or "
                   "TaskManager:1, and Task or Task:0/1");
}

std::string read_message_text(const YAML::Mark& mark, const std::string& text) {
  static const std::vector<std::string> names = traced_message_names();
  if (std::ranges::binary_search(names, text)) return text;
  const std::vector<std::string_view> views(names.begin(), names.end());
  refuse(mark, code(text) + " is no message" +
                   did_you_mean(text, views,
                                "the names are those of --trace, such as TriggerCheckpoint"));
}

std::vector<std::string> read_texts(const YAML::Node& node, const std::string& key, bool split) {
  if (split && node.IsScalar()) {
    std::vector<std::string> words;
    const std::string& text = node.Scalar();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return words;
  }
  if (!node.IsSequence())
    refuse(node.Mark(),
           code(key) + " has " + described(node) +
               (split ? "; write words, or a list of them" : "; write a list of texts"));
  std::vector<std::string> texts;
  for (const auto& one : node) texts.push_back(read_text(one, key));
  return texts;
}

/// The key and value of a mapping with one key.
std::pair<YAML::Node, YAML::Node> only_pair(const YAML::Node& node) {
  const auto pair = *node.begin();
  return {pair.first, pair.second};
}

bool is_arrow(const YAML::Node& node) {
  return node.IsMap() && node.size() == 1 && only_pair(node).first.IsScalar() &&
         only_pair(node).first.Scalar().find("->") != std::string::npos;
}

Values read_values(const YAML::Node& node, const ScenarioItem& item, const YAML::Mark& mark);

MessagePattern read_pattern(const YAML::Node& node, const std::string& key) {
  if (node.IsScalar()) return {{}, {}, read_message_text(node.Mark(), node.Scalar()), std::nullopt};
  if (is_arrow(node)) {
    const auto [ends, name] = only_pair(node);
    const std::string& text = ends.Scalar();
    const std::size_t arrow = text.find(" -> ");
    if (arrow == std::string::npos || text.find("->", arrow + 4) != std::string::npos)
      refuse(ends.Mark(), code(text) + " does not name two actors; write 'FROM -> TO: MESSAGE'");
    const auto actor = [&](const std::string& who) {
      return who == "any" ? std::string() : read_endpoint_text(ends.Mark(), who);
    };
    return {actor(text.substr(0, arrow)), actor(text.substr(arrow + 4)),
            read_message_text(name.Mark(), read_text(name, text)), std::nullopt};
  }
  if (!node.IsMap())
    refuse(node.Mark(), code(key) + " has " + described(node) +
                            "; write the name of a message, or 'FROM -> TO: MESSAGE'");
  const Values values = read_values(node, scenario_pattern(), node.Mark());
  return {values.text("from"), values.text("to"), values.text("message"),
          values.find<std::uint64_t>("checkpoint")};
}

/// Adds the settings of `node`, whose keys continue `prefix`, which is empty or ends in a dot.
void add_settings(const YAML::Node& node, const std::string& prefix,
                  std::map<std::string, std::string>& settings) {
  for (const auto& pair : node) {
    const std::string name = prefix + read_text(pair.first, "configuration");
    if (pair.second.IsMap() && pair.second.size() > 0) {
      add_settings(pair.second, name + ".", settings);
      continue;
    }
    if (!pair.second.IsScalar())
      refuse(pair.first.Mark(),
             code(name) + " has " + described(pair.second) + "; write one value");
    Configuration checked;
    // The place is put before the sentence where it is caught.
    if (const Status status = checked.set(name, pair.second.Scalar(), "@"); !status) {
      std::string what = status.error().what;
      if (what.starts_with("@: ")) what.erase(0, 3);
      refuse(pair.first.Mark(), what);
    }
    if (!settings.emplace(*canonical_key(name), pair.second.Scalar()).second)
      refuse(pair.first.Mark(), code(name) + " stands twice; remove one of the two");
  }
}

std::map<std::string, std::string> read_settings(const YAML::Node& node, const std::string& key) {
  std::map<std::string, std::string> settings;
  if (node.IsNull()) return settings;
  if (!node.IsMap())
    refuse(node.Mark(), code(key) + " has " + described(node) +
                            "; write lines of 'key: value', as in weir.yaml");
  add_settings(node, "", settings);
  return settings;
}

Values::One read_value(const YAML::Node& node, const ScenarioField& field) {
  const std::string key(field.name);
  switch (field.value) {
    case V::text:
      return read_text(node, key);
    case V::name:
    case V::snapshot: {
      std::string name = read_text(node, key);
      if (name.empty()) refuse(node.Mark(), code(key) + " is empty; write a name");
      return name;
    }
    case V::count:
      return read_number(node, key, 0);
    case V::positive:
      return read_number(node, key, 1);
    case V::size:
      return read_size(node, key);
    case V::duration:
      return read_duration(node, key, false);
    case V::signed_duration:
      return read_duration(node, key, true);
    case V::flag:
      if (!node.IsScalar() || (node.Scalar() != "true" && node.Scalar() != "false"))
        refuse(node.Mark(), code(key) + " has " + described(node) + "; write true or false");
      return node.Scalar() == "true";
    case V::choice:
      return read_choice(node, key, field.choices);
    case V::process:
      return read_process(node, key, false);
    case V::end:
      return read_process(node, key, true);
    case V::ends: {
      if (!node.IsSequence() || node.size() != 2)
        refuse(node.Mark(),
               code(key) + " needs a list of two, as in [job manager, task manager 1]");
      return std::vector<ProcessName>{read_process(node[0], key, true),
                                      read_process(node[1], key, true)};
    }
    case V::endpoint:
      return read_endpoint_text(node.Mark(), read_text(node, key));
    case V::message:
      return read_message_text(node.Mark(), read_text(node, key));
    case V::pattern:
      return read_pattern(node, key);
    case V::patterns: {
      if (!node.IsSequence() || node.size() == 0)
        refuse(node.Mark(), code(key) + " has " + described(node) + "; write a list of messages");
      std::vector<MessagePattern> patterns;
      for (const auto& one : node) patterns.push_back(read_pattern(one, key));
      return patterns;
    }
    case V::texts:
    case V::words:
      return read_texts(node, key, field.value == V::words);
    case V::settings:
      return read_settings(node, key);
    case V::json:
      return json_of(node);
    case V::files:
    case V::steps:
    case V::expectations:
    case V::expectation:
    case V::cluster:
    case V::job:
      return node;
  }
  WEIR_ASSERT(false);
}

/// Reads `node`, a mapping with the keys of `item`. `mark` is where the item stands.
Values read_values(const YAML::Node& node, const ScenarioItem& item, const YAML::Mark& mark) {
  Values values{&item, mark, {}};
  for (const auto& pair : node) {
    const std::string key = pair.first.IsScalar() ? pair.first.Scalar() : "";
    const auto field = std::ranges::find(item.fields, key, &ScenarioField::name);
    if (field == item.fields.end()) {
      std::vector<std::string_view> keys;
      for (const ScenarioField& one : item.fields) keys.push_back(one.name);
      const std::string what = pair.first.IsScalar() ? code(key) : described(pair.first);
      refuse(pair.first.Mark(),
             what + " is no key of " + code(item.name) +
                 did_you_mean(key, keys,
                              keys.empty() ? "it has none" : "its keys are " + alternatives(keys)));
    }
    if (values.all.contains(field->name))
      refuse(pair.first.Mark(), code(key) + " stands twice; remove one of the two");
    const bool may_be_null =
        field->value == V::json || field->value == V::settings || field->value == V::cluster;
    if (pair.second.IsNull() && !may_be_null)
      refuse(pair.first.Mark(), code(key) + " has no value; write one or remove the line");
    values.all.emplace(field->name, std::pair{pair.first.Mark(), read_value(pair.second, *field)});
  }
  for (const std::string_view name : item.required)
    if (!values.has(name)) refuse(mark, code(item.name) + " needs " + code(name));
  if (!item.one_of.empty()) {
    std::vector<std::string_view> present;
    for (const std::string_view name : item.one_of)
      if (values.has(name)) present.push_back(name);
    if (present.empty()) refuse(mark, code(item.name) + " needs " + alternatives(item.one_of));
    if (present.size() > 1)
      refuse(values.mark_of(present[1]), code(item.name) + " has " + code(present[0]) + " and " +
                                             code(present[1]) +
                                             "; only one of them can stand there");
  }
  return values;
}

/// Reads a step or an expectation: a name, or a mapping of a name to its values.
Values read_item(const YAML::Node& node, std::span<const ScenarioItem> items,
                 const std::string& kind) {
  std::vector<std::string_view> names;
  for (const ScenarioItem& one : items) names.push_back(one.name);
  const auto find = [&](const YAML::Node& name) -> const ScenarioItem& {
    const std::string word = name.IsScalar() ? name.Scalar() : "";
    const auto found = std::ranges::find(items, word, &ScenarioItem::name);
    if (found == items.end())
      refuse(name.Mark(), (name.IsScalar() ? code(word) : described(name)) + " is no " + kind +
                              did_you_mean(word, names, "write " + alternatives(names)));
    return *found;
  };
  const auto needs_value = [&](const YAML::Mark& mark, const ScenarioItem& item) {
    if (item.bare) return;
    std::vector<std::string_view> keys;
    for (const ScenarioField& field : item.fields) keys.push_back(field.name);
    refuse(mark, code(item.name) + " has no value; its keys are " + alternatives(keys));
  };
  if (node.IsScalar()) {
    const ScenarioItem& item = find(node);
    needs_value(node.Mark(), item);
    return Values{&item, node.Mark(), {}};
  }
  if (!node.IsMap() || node.size() == 0)
    refuse(node.Mark(), described(node) + " stands where a" +
                            std::string(kind.starts_with('e') ? "n " : " ") + kind +
                            " should; write its name, or 'name: value'");
  const auto first = *node.begin();
  const ScenarioItem& item = find(first.first);
  if (node.size() > 1) {
    const auto second = *std::next(node.begin());
    refuse(second.first.Mark(), described(second.first) + " stands beside " + code(item.name) +
                                    "; begin each " + kind +
                                    " with a dash, and indent what belongs to it");
  }
  const YAML::Node value = first.second;
  const YAML::Mark mark = first.first.Mark();
  if (value.IsNull()) {
    needs_value(mark, item);
    return Values{&item, mark, {}};
  }
  const auto main = std::ranges::find(item.fields, item.main, &ScenarioField::name);
  const bool whole = main != item.fields.end() &&
                     (main->value == V::expectation || main->value == V::expectations ||
                      !value.IsMap() || (main->value == V::pattern && is_arrow(value)));
  if (whole) {
    Values values{&item, mark, {}};
    values.all.emplace(main->name, std::pair{value.Mark(), read_value(value, *main)});
    // What is written in one value has no other.
    for (const std::string_view name : item.required)
      if (name != item.main) refuse(mark, code(item.name) + " needs " + code(name));
    return values;
  }
  if (!value.IsMap())
    refuse(value.Mark(),
           code(item.name) + " has " + described(value) + "; write its keys, each with a value");
  return read_values(value, item, mark);
}

Place place_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

std::string line_of(const YAML::Node& node) {
  YAML::Emitter emitter;
  emitter.SetMapFormat(YAML::Flow);
  emitter.SetSeqFormat(YAML::Flow);
  emitter << node;
  std::string text = emitter.c_str();
  // The outermost braces of a step are not in the file.
  if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
  std::string line;
  for (const char c : text)
    if (c != '\n')
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  if (line.size() > longest_text) {
    std::size_t end = longest_text - 3;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    line = line.substr(0, end) + "...";
  }
  return line;
}

// ---- the file -----------------------------------------------------------------------------------------

/// Reads one file, and follows what its steps do as far as that can be known.
class ScenarioReader {
 public:
  ScenarioReader(const std::string& directory, FileSystem& files)
      : directory_(directory), files_(files) {}

  Scenario read(const YAML::Node& root) {
    if (!root.IsMap())
      refuse(root.Mark(), "a scenario is a mapping; it begins with 'scenario: what it shows'");
    const Values top = read_values(root, scenario_top(), root.Mark());
    scenario_.directory = directory_;
    scenario_.name = top.text("scenario");
    if (scenario_.name.empty())
      refuse(top.mark_of("scenario"), "'scenario' is empty; write what the scenario shows");
    scenario_.description = top.text("description");
    scenario_.time_limit = top.get<milliseconds>("time_limit", default_time_limit);
    if (scenario_.time_limit <= milliseconds(0))
      refuse(top.mark_of("time_limit"),
             "'time_limit' is 0, so that nothing can be done; write a longer one");
    if (top.has("cluster")) read_cluster(top.get<YAML::Node>("cluster"), top.mark_of("cluster"));
    read_job(top.get<YAML::Node>("job"), top.mark_of("job"));
    if (top.has("files")) read_files(top.get<YAML::Node>("files"));
    Configuration configuration;
    for (const auto* settings : {&scenario_.cluster.configuration, &scenario_.job.configuration})
      for (const auto& [key, value] : *settings) WEIR_ASSERT(configuration.set(key, value, ""));
    // A key of its own may stand in the code of the job, but then the file would not say what it shows.
    has_snapshots_ = configuration.is_set("execution.checkpointing.interval") &&
                     configuration.checkpoint_config().interval.has_value();
    read_steps(top.get<YAML::Node>("steps"));
    if (top.has("expect"))
      scenario_.expectations = read_expectations(top.get<YAML::Node>("expect"));
    return std::move(scenario_);
  }

 private:
  enum class JobPhase : std::uint8_t { none, runs, may_run, ended };

  static Values read_section(const YAML::Node& node, const ScenarioItem& item,
                             const YAML::Mark& mark) {
    if (node.IsNull()) return read_values(YAML::Node(YAML::NodeType::Map), item, mark);
    if (!node.IsMap())
      refuse(node.Mark(),
             code(item.name) + " has " + described(node) + "; write its keys, each with a value");
    return read_values(node, item, mark);
  }

  void read_cluster(const YAML::Node& node, const YAML::Mark& mark) {
    const Values values = read_section(node, scenario_cluster(), mark);
    ScenarioCluster& cluster = scenario_.cluster;
    cluster.task_managers = bounded(values, "task_managers", ScenarioLimits::task_managers, 1);
    cluster.slots = bounded(values, "slots", ScenarioLimits::parallelism, 0);
    cluster.configuration = values.get<std::map<std::string, std::string>>("configuration");
  }

  void read_job(const YAML::Node& node, const YAML::Mark& mark) {
    const Values values = read_section(node, scenario_job(), mark);
    ScenarioJob& job = scenario_.job;
    job.is_source = values.has("source");
    const char* key = job.is_source ? "source" : "library";
    job.path = values.text(key);
    job.place = place_of(values.mark_of(key));
    if (job.path.empty())
      refuse(values.mark_of(key), code(key) + " is empty; write the name of a file");
    job.arguments = values.get<std::vector<std::string>>("arguments");
    job.parallelism = bounded(values, "parallelism", ScenarioLimits::parallelism, 0);
    job.configuration = values.get<std::map<std::string, std::string>>("configuration");
  }

  static std::uint32_t bounded(const Values& values, std::string_view name, std::uint32_t most,
                               std::uint32_t otherwise) {
    const std::uint64_t value = values.number(name, otherwise);
    if (value > most)
      refuse(values.mark_of(name), code(name) + " has '" + std::to_string(value) + "'; " +
                                       std::to_string(most) + " is the most");
    return static_cast<std::uint32_t>(value);
  }

  [[nodiscard]] std::string beside(const std::string& name) const {
    return name.starts_with('/') ? name : directory_ + "/" + name;
  }

  void read_files(const YAML::Node& node) {
    if (!node.IsMap())
      refuse(node.Mark(),
             "'files' has " + described(node) + "; write 'name: content' for each file");
    std::uint64_t total = 0;
    for (const auto& pair : node) {
      const std::string name = read_text(pair.first, "files");
      const std::string padded = "/" + name + "/";
      if (name.empty() || name.starts_with('/') || padded.find("/../") != std::string::npos ||
          padded.find("//") != std::string::npos || padded.find("/./") != std::string::npos ||
          name.find('\0') != std::string::npos)
        refuse(
            pair.first.Mark(),
            code(name) + " does not name a file below ${work}; write a relative name without '..'");
      for (const ScenarioFile& other : scenario_.files)
        if (other.name == name)
          refuse(pair.first.Mark(), code(name) + " stands twice; remove one of the two");
      scenario_.files.push_back({name, content_of(pair.first, pair.second, total)});
    }
  }

  std::string content_of(const YAML::Node& name, const YAML::Node& node, std::uint64_t& total) {
    if (node.IsScalar()) return node.Scalar();
    if (!node.IsMap())
      refuse(node.IsNull() ? name.Mark() : node.Mark(),
             code(name.Scalar()) + " has " + described(node) +
                 "; write a text, or the keys text, lines or copy");
    const Values values = read_values(node, scenario_file(), name.Mark());
    std::string once = values.text("text");
    for (const std::string& line : values.get<std::vector<std::string>>("lines"))
      once += line + "\n";
    if (values.has("copy")) {
      auto copied = read_file(files_, beside(values.text("copy")), ScenarioLimits::input_bytes);
      if (!copied) throw std::pair{values.mark_of("copy"), copied.error()};
      once = std::move(*copied);
    }
    const std::uint64_t repeat = values.number("repeat", 1);
    const bool numbered = values.get<bool>("numbered");
    const auto lines = static_cast<std::uint64_t>(std::ranges::count(once, '\n')) + 1;
    // Room for the numbers: at most 20 digits and a blank.
    const std::uint64_t one_time = once.size() + (numbered ? lines * 21 : 0) + 1;
    if (repeat > (ScenarioLimits::input_bytes - total) / one_time)
      refuse(name.Mark(), "the files are larger than " +
                              std::to_string(ScenarioLimits::input_bytes >> 20) +
                              " MiB together; repeat less");
    total += repeat * one_time;
    std::string content;
    std::uint64_t number = 0;
    for (std::uint64_t i = 0; i < repeat; ++i) {
      if (!numbered) {
        content += once;
        continue;
      }
      for (std::size_t at = 0; at < once.size();) {
        const std::size_t end = std::min(once.find('\n', at), once.size());
        content += std::to_string(number++) + " " + once.substr(at, end - at) + "\n";
        at = end + 1;
      }
    }
    return content;
  }

  // ---- steps

  void read_steps(const YAML::Node& node) {
    if (!node.IsSequence() || node.size() == 0)
      refuse(node.Mark(),
             "'steps' has " + described(node) + "; write a list of steps that begins with '- run'");
    if (node.size() > ScenarioLimits::steps)
      refuse(node.Mark(), "there are " + std::to_string(node.size()) + " steps; " +
                              std::to_string(ScenarioLimits::steps) + " are the most");
    for (const auto& one : node) scenario_.steps.push_back(read_step(one));
  }

  Step read_step(const YAML::Node& node) {
    const Values values = read_item(node, scenario_steps(), "step");
    Step step;
    step.place = place_of(values.mark);
    step.text = line_of(node);
    step.action = action_of(values);
    const auto& fields = values.item->fields;
    if (std::ranges::find(fields, "within", &ScenarioField::name) == fields.end()) return step;
    step.within = values.find<milliseconds>("within");
    if (!step.within) return step;
    if (*step.within == milliseconds(0))
      refuse(values.mark_of("within"), "nothing is done within 0 ms; write a longer time");
    if (std::ranges::find(fields, "background", &ScenarioField::name) != fields.end() &&
        values.get<bool>("background"))
      refuse(values.mark_of("within"),
             "a step in the background does not wait; give 'within' to the step 'wait: {answers: "
             "true}'");
    return step;
  }

  static Asking asking_of(const Values& values) {
    Asking asking{values.get<bool>("background"), values.find<std::string>("fails"),
                  values.get<bool>("may_fail")};
    if (asking.fails && asking.may_fail)
      refuse(values.mark_of("may_fail"),
             "a step that must fail need not say that it may; remove 'may_fail' or 'fails'");
    return asking;
  }

  StepAction action_of(const Values& values) {
    const std::string_view name = values.item->name;
    if (name == "run" || name == "restore") return start_of(values);
    if (name == "wait") return wait_of(values);
    if (name == "checkpoint") {
      CheckpointStep step{{}, asking_of(values)};
      require_job(values, step.asking);
      step.name = take_name(values);
      has_snapshots_ = true;
      return step;
    }
    if (name == "savepoint" || name == "cancel_with_savepoint" || name == "stop")
      return savepoint_of(values);
    if (name == "cancel") {
      CancelStep step{asking_of(values)};
      require_job(values, step.asking);
      job_ends(step.asking);
      return step;
    }
    if (name == "kill") {
      const KillStep step{process_of(values), values.number("after_file_operations")};
      if (step.process.kind != ProcessKind::task_manager && phase_ == JobPhase::runs)
        phase_ = step.process.kind == ProcessKind::any || step.after_file_operations > 0
                     ? JobPhase::may_run
                     : JobPhase::ended;
      return step;
    }
    if (name == "start") {
      const StartProcessStep step{process_of(values)};
      if (step.process.kind != ProcessKind::job_manager &&
          step.process.kind != ProcessKind::task_manager)
        refuse(values.mark_of("process"),
               code(to_string(step.process)) +
                   " cannot be started; write job manager or task manager N");
      return step;
    }
    if (name == "pause") {
      paused_ = true;
      return PauseStep{process_of(values), values.find<milliseconds>("time")};
    }
    if (name == "resume") {
      if (!paused_) refuse(values.mark, "nothing was paused before that could be resumed");
      return ResumeStep{process_of(values)};
    }
    if (name == "cut") return cut_of(values);
    if (name == "heal") return HealStep{};
    if (name == "delay_message") return message_fault_of(values, MessageFault::delayed);
    if (name == "drop_message") return message_fault_of(values, MessageFault::dropped);
    if (name == "repeat_message") return message_fault_of(values, MessageFault::repeated);
    if (name == "corrupt") {
      CorruptStep step;
      step.snapshot = snapshot_of(values, "snapshot");
      step.metadata = values.text("file") == "metadata";
      static constexpr std::string_view damages[] = {"flip_bit", "zero_block", "truncate", "extend",
                                                     "remove"};
      const std::string how = values.get<std::string>("how", "flip_bit");
      step.damage = static_cast<Damage>(std::ranges::find(damages, how) - damages);
      step.at = values.find<std::uint64_t>("at");
      return step;
    }
    if (name == "fill_disk") return FillDiskStep{values.number("leave")};
    if (name == "free_disk") return FreeDiskStep{};
    if (name == "fail_io") {
      if (values.has("times") && values.get<bool>("always"))
        refuse(values.mark_of("times"),
               "'fail_io' has 'times' and 'always'; only one of them can stand there");
      return FailIoStep{values.text("operation"), values.get<std::string>("error", "EIO"),
                        values.number("nth", 1),
                        values.get<bool>("always") ? 0 : values.number("times", 1)};
    }
    if (name == "slow_disk") {
      const SlowDiskStep step{process_of(values), values.get<milliseconds>("time")};
      if (step.time == milliseconds(0))
        refuse(values.mark_of("time"),
               "a disk that waits for 0 ms is not slow; write a longer time");
      return step;
    }
    if (name == "clock_jump") return ClockJumpStep{values.get<milliseconds>("by")};
    WEIR_ASSERT(name == "expect");
    return ExpectStep{read_expectations(values.get<YAML::Node>("expectations"))};
  }

  StepAction start_of(const Values& values) {
    StartStep step;
    if (values.item->name == "restore") {
      step.from = snapshot_of(values, "from");
      step.claim = values.get<bool>("claim");
      step.allow_non_restored_state = values.get<bool>("allow_non_restored_state");
      if (step.claim && step.from == "latest")
        refuse(values.mark_of("claim"),
               "a job that goes on from latest has its checkpoints already; remove 'claim'");
    }
    step.parallelism = bounded(values, "parallelism", ScenarioLimits::parallelism, 0);
    step.backend = values.text("backend");
    step.more_arguments = values.get<std::vector<std::string>>("arguments");
    step.asking = asking_of(values);
    if (phase_ == JobPhase::runs)
      refuse(values.mark,
             "the job still runs here, as far as the steps say; end it first with stop, cancel or "
             "kill, or "
             "with 'wait: finished' or 'wait: failed'");
    phase_ = step.asking.fails      ? JobPhase::ended
             : step.asking.may_fail ? JobPhase::may_run
                                    : JobPhase::runs;
    return step;
  }

  StepAction wait_of(const Values& values) {
    WaitStep step;
    step.records = values.find<std::uint64_t>("records");
    step.operator_uid = values.text("by");
    if (values.has("state")) step.state = enumerator<JobState>(values.text("state"));
    step.checkpoints = values.find<std::uint64_t>("checkpoints");
    step.checkpoint = values.find<std::uint64_t>("checkpoint");
    step.output = values.find<std::uint64_t>("output");
    step.message = values.find<MessagePattern>("message");
    step.times = values.number("times", 1);
    step.time = values.find<milliseconds>("time");
    step.answers = values.get<bool>("answers");
    if (values.has("by") && !step.records)
      refuse(values.mark_of("by"), "'by' says who takes in 'records', which are not there");
    if (values.has("times") && !step.message)
      refuse(values.mark_of("times"), "'times' counts a 'message', which is not there");
    if (values.has("answers") && !step.answers)
      refuse(values.mark_of("answers"),
             "'answers' is false, which waits for nothing; remove the step");
    if (phase_ == JobPhase::none && !step.time)
      refuse(values.mark, "no job was started before, so that this never comes; begin with 'run'");
    if ((step.checkpoints || step.checkpoint) && !has_snapshots_)
      refuse(values.mark,
             "no checkpoint ever comes: no 'execution.checkpointing.interval' is set under "
             "'configuration' of "
             "cluster or job, and no step 'checkpoint' stands before");
    if (step.state && is_terminal(*step.state)) phase_ = JobPhase::ended;
    return step;
  }

  StepAction savepoint_of(const Values& values) {
    SavepointStep step;
    step.asking = asking_of(values);
    require_job(values, step.asking);
    step.name = take_name(values);
    if (values.text("type") == "native") step.form = SnapshotForm::native;
    if (values.item->name == "savepoint") return step;
    step.end = values.item->name == "stop" ? SavepointEnd::stopped : SavepointEnd::cancelled;
    if (step.end == SavepointEnd::stopped) step.drain = values.get<bool>("drain");
    job_ends(step.asking);
    if (!step.asking.fails) has_snapshots_ = true;  // a terminal savepoint is one to go on from
    return step;
  }

  StepAction cut_of(const Values& values) {
    CutStep step;
    if (values.has("between")) {
      if (values.has("to"))
        refuse(values.mark_of("to"),
               "'cut' has 'between' and 'to'; only one of them can stand there");
      const auto ends = values.get<std::vector<ProcessName>>("between");
      step = {ends[0], ends[1], false};
    } else {
      if (!values.has("to")) refuse(values.mark, "'cut' needs 'to' beside 'from'");
      step = {values.get<ProcessName>("from"), values.get<ProcessName>("to"), true};
    }
    const YAML::Mark mark =
        values.has("between") ? values.mark_of("between") : values.mark_of("to");
    for (const ProcessName& process : {step.from, step.to}) check_process(process, mark);
    if (step.from == step.to)
      refuse(mark, "both ends of the link are " + code(to_string(step.from)) + "; name two");
    return step;
  }

  StepAction message_fault_of(const Values& values, MessageFault fault) {
    MessageFaultStep step;
    step.fault = fault;
    step.message = values.get<MessagePattern>("message");
    if (values.has("checkpoint")) step.message.checkpoint = values.number("checkpoint");
    step.nth = values.number("nth", 1);
    if (fault == MessageFault::delayed) {
      step.time = values.get<milliseconds>("time");
      if (step.time == milliseconds(0))
        refuse(values.mark_of("time"),
               "a message that is 0 ms late is not late; write a longer time");
    } else {
      step.times = values.number("times", 1);
      if (fault == MessageFault::repeated) step.time = values.get<milliseconds>("time");
    }
    return step;
  }

  ProcessName process_of(const Values& values) {
    const auto process = values.get<ProcessName>("process");
    check_process(process, values.mark_of("process"));
    return process;
  }

  void check_process(const ProcessName& process, const YAML::Mark& mark) const {
    const std::uint32_t most = scenario_.cluster.task_managers;
    if (process.kind == ProcessKind::task_manager && process.number > most)
      refuse(mark, "there is no " + to_string(process) + ": the cluster has " +
                       (most == 1 ? "one, task manager 1" : std::to_string(most)) +
                       "; write another number, or more 'task_managers' under 'cluster'");
  }

  // ---- what is there to be named

  void require_job(const Values& values, const Asking& asking) const {
    if (phase_ == JobPhase::none)
      refuse(values.mark, "no job was started before; begin with 'run'");
    if (phase_ == JobPhase::ended && !asking.fails && !asking.may_fail)
      refuse(values.mark,
             "the job has ended before, as far as the steps say; start it with 'restore', or say "
             "how this 'fails'");
  }

  void job_ends(const Asking& asking) {
    if (asking.fails) return;
    phase_ = asking.background || asking.may_fail ? JobPhase::may_run : JobPhase::ended;
  }

  std::string take_name(const Values& values) {
    std::string name = values.text("name");
    if (name.empty()) return name;
    if (name == "latest")
      refuse(values.mark_of("name"),
             "'latest' always means the newest snapshot; choose another name");
    if (!taken_.insert(name).second)
      refuse(values.mark_of("name"),
             "an earlier step has the name " + code(name) + " too; choose another one");
    return name;
  }

  std::string snapshot_of(const Values& values, std::string_view key) const {
    std::string name = values.text(key);
    if (name.empty()) return name;
    const YAML::Mark mark = values.mark_of(key);
    if (name == "latest") {
      if (!has_snapshots_)
        refuse(mark,
               "there is no latest checkpoint: no 'execution.checkpointing.interval' is set under "
               "'configuration' of cluster "
               "or job, and no step 'checkpoint' stands before");
      return name;
    }
    if (taken_.contains(name)) return name;
    std::vector<std::string_view> names(taken_.begin(), taken_.end());
    names.push_back("latest");
    refuse(mark,
           "no step before takes a snapshot called " + code(name) +
               did_you_mean(
                   name, names,
                   "there " +
                       std::string(taken_.empty()      ? "is none"
                                   : names.size() == 2 ? "is "
                                                       : "are ") +
                       (taken_.empty() ? std::string()
                                       : alternatives(std::span(names).first(names.size() - 1)))));
  }

  // ---- expectations

  std::vector<Expectation> read_expectations(const YAML::Node& node) {
    if (!node.IsSequence() || node.size() == 0)
      refuse(node.Mark(), "'expect' has " + described(node) + "; write a list of expectations");
    std::vector<Expectation> expectations;
    for (const auto& one : node) {
      if (++expectation_count_ > ScenarioLimits::expectations)
        refuse(one.Mark(), "there are more than " + std::to_string(ScenarioLimits::expectations) +
                               " expectations");
      expectations.push_back(read_expectation(one));
    }
    return expectations;
  }

  Expectation read_expectation(const YAML::Node& node) {
    const Values values = read_item(node, scenario_expectations(), "expectation");
    if (values.item->name == "not") {
      const YAML::Node inner = values.get<YAML::Node>("expectation");
      Expectation expectation = read_expectation(inner);
      if (expectation.negated) refuse(values.mark, "'not' stands in 'not'; remove both");
      expectation.negated = true;
      expectation.place = place_of(values.mark);
      expectation.text = line_of(node);
      return expectation;
    }
    return {place_of(values.mark), line_of(node), false, condition_of(values)};
  }

  Condition condition_of(const Values& values) {
    const std::string_view name = values.item->name;
    if (name == "output") return output_of(values);
    if (name == "state") return state_of(values);
    if (name == "messages")
      return MessagesExpectation{values.get<std::vector<MessagePattern>>("in_order"),
                                 snapshot_of(values, "of")};
    if (name == "message") {
      MessageCountExpectation expectation{
          values.get<MessagePattern>("is"), snapshot_of(values, "of"),
          values.find<std::uint64_t>("times"), values.find<std::uint64_t>("at_least"),
          values.find<std::uint64_t>("at_most")};
      if (values.has("checkpoint")) expectation.message.checkpoint = values.number("checkpoint");
      check_bounds(values, "times", "at_least", "at_most");
      return expectation;
    }
    if (name == "declined") {
      DeclinedExpectation expectation{std::nullopt, values.text("contains"),
                                      snapshot_of(values, "of")};
      if (values.has("reason"))
        expectation.reason = enumerator<DeclineReason>(values.text("reason"));
      return expectation;
    }
    if (name == "job") {
      JobExpectation expectation{std::nullopt, values.find<std::string>("failure"),
                                 values.find<std::uint64_t>("restarts"),
                                 snapshot_of(values, "restored_from")};
      if (values.has("state")) expectation.state = enumerator<JobState>(values.text("state"));
      require_some(values);
      return expectation;
    }
    if (name == "checkpoints") {
      require_some(values);
      check_bounds(values, "completed", "at_least", "at_most");
      return CheckpointsExpectation{
          values.find<std::uint64_t>("completed"), values.find<std::uint64_t>("at_least"),
          values.find<std::uint64_t>("at_most"), values.find<std::uint64_t>("failed")};
    }
    if (name == "snapshot") {
      const std::string is = values.text("is");
      return SnapshotExpectation{snapshot_of(values, "name"),
                                 is == "damaged" ? SnapshotCondition::damaged
                                 : is == "gone"  ? SnapshotCondition::gone
                                                 : SnapshotCondition::complete};
    }
    if (name == "told") {
      if (values.text("contains").empty())
        refuse(values.mark, "'told' is empty, which every sentence contains; write some words");
      return ToldExpectation{values.text("contains")};
    }
    if (name == "files") {
      check_bounds(values, "count", "at_least", "at_most");
      return FilesExpectation{values.text("like"), values.find<std::uint64_t>("count"),
                              values.find<std::uint64_t>("at_least"),
                              values.find<std::uint64_t>("at_most")};
    }
    WEIR_ASSERT(name == "within");
    const auto time = values.get<milliseconds>("time");
    if (time == milliseconds(0))
      refuse(values.mark, "nothing is done within 0 ms; write a longer time");
    return WithinExpectation{time};
  }

  OutputExpectation output_of(const Values& values) {
    OutputExpectation expectation;
    expectation.exactly_once = values.text("is") == "exactly_once";
    if (values.text("is") == "empty") expectation.count = 0;
    if (values.has("count")) expectation.count = values.number("count");
    expectation.lines = values.find<std::vector<std::string>>("lines");
    expectation.contains = values.find<std::vector<std::string>>("contains");
    if (values.has("file")) {
      expectation.file = values.text("file");
      const auto content =
          read_file(files_, beside(expectation.file), ScenarioLimits::expected_bytes);
      if (!content) throw std::pair{values.mark_of("file"), content.error()};
      std::istringstream stream(*content);
      expectation.lines.emplace();
      for (std::string line; std::getline(stream, line);) expectation.lines->push_back(line);
    }
    return expectation;
  }

  StateExpectation state_of(const Values& values) {
    StateExpectation expectation;
    expectation.snapshot = snapshot_of(values, "in");
    expectation.like = snapshot_of(values, "like");
    expectation.operator_uid = values.text("operator");
    expectation.state = values.text("name");
    if (values.has("like")) {
      for (const std::string_view key : {"operator", "name"})
        if (values.has(key))
          refuse(values.mark_of(key),
                 "'like' compares all keyed state of two snapshots; remove " + code(key));
    } else {
      for (const std::string_view key : {"operator", "name"})
        if (!values.has(key)) refuse(values.mark, "'state' needs " + code(key));
    }
    for (const auto& [key, json] :
         {std::pair{"equals", &expectation.equals}, {"contains", &expectation.contains}}) {
      if (!values.has(key)) continue;
      const Json value = values.get<Json>(key);
      if (!value.is_object() && !value.is_array())
        refuse(values.mark_of(key),
               code(key) + " needs a mapping from keys to values, or a list for operator state");
      *json = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    expectation.keys = values.find<std::uint64_t>("keys");
    return expectation;
  }

  static void require_some(const Values& values) {
    if (!values.all.empty()) return;
    std::vector<std::string_view> keys;
    for (const ScenarioField& field : values.item->fields) keys.push_back(field.name);
    refuse(values.mark, code(values.item->name) + " needs one of " + alternatives(keys));
  }

  static void check_bounds(const Values& values, const char* exact, const char* least,
                           const char* most) {
    if (values.has(least) && values.has(most) && values.number(least) > values.number(most))
      refuse(values.mark_of(most), "no number is at least " + std::to_string(values.number(least)) +
                                       " and at most " + std::to_string(values.number(most)));
    for (const char* other : {least, most})
      if (values.has(exact) && values.has(other))
        refuse(values.mark_of(other), code(exact) + " and " + code(other) +
                                          " stand beside each other; one of them is enough");
  }

  const std::string& directory_;
  FileSystem& files_;
  Scenario scenario_;
  std::set<std::string> taken_;  ///< names of snapshots so far
  bool has_snapshots_ = false;   ///< there may be one to go on from
  JobPhase phase_ = JobPhase::none;
  bool paused_ = false;
  std::size_t expectation_count_ = 0;
};

}  // namespace

Result<Scenario> parse_scenario(std::string_view yaml, const std::string& path,
                                const std::string& directory, FileSystem& files) {
  const auto at = [&](const YAML::Mark& mark) {
    Scenario named;
    named.path = path;
    return to_string(named, place_of(mark)) + ": ";
  };
  if (yaml.size() > ScenarioLimits::file_bytes)
    return error(Errc::invalid_argument, path + ": the file is larger than " +
                                             std::to_string(ScenarioLimits::file_bytes >> 20) +
                                             " MiB");
  if (yaml.find('\0') != std::string_view::npos)
    return error(Errc::invalid_argument, path + ": the file holds a zero byte; a scenario is text");
  try {
    const std::string text(yaml);
    Bounds bounds;
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(bounds)) {
    }
    const YAML::Node root = YAML::Load(text);
    Scenario scenario = ScenarioReader(directory, files).read(root);
    scenario.path = path;
    return scenario;
  } catch (const Wrong& wrong) {
    return error(Errc::invalid_argument, at(wrong.mark) + wrong.what);
  } catch (const std::pair<YAML::Mark, Error>& failure) {
    return error(failure.second.code, at(failure.first) + failure.second.what);
  } catch (const YAML::Exception& failure) {
    return error(Errc::invalid_argument, at(failure.mark) + "this is no YAML: " + failure.msg);
  }
}

Result<Scenario> read_scenario(FileSystem& files, const std::string& path,
                               const std::string& working_directory) {
  const std::string absolute = path.starts_with('/') ? path : working_directory + "/" + path;
  if (const auto entry = files.stat(absolute); entry && entry->is_directory)
    return error(Errc::unsupported, path + ": this is a directory; name the scenario files in it");
  auto yaml = read_file(files, absolute, ScenarioLimits::file_bytes);
  if (!yaml && yaml.error().code == Errc::not_found)
    return error(Errc::not_found, path + ": there is no such scenario file");
  if (!yaml) return std::unexpected(yaml.error());
  return parse_scenario(*yaml, path, absolute.substr(0, absolute.find_last_of('/')), files);
}

}  // namespace weir
