#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// What may be written behind a key of a scenario file.
enum class ScenarioValue : std::uint8_t {
  text,
  name,             ///< of a snapshot that a step takes
  snapshot,         ///< the name of one that an earlier step takes, or `latest`
  count,            ///< a whole number from 0
  positive,         ///< a whole number from 1
  size,             ///< bytes, such as `64 KiB`
  duration,         ///< such as `100 ms`
  signed_duration,  ///< the same, perhaps with a minus
  flag,             ///< `true` or `false`
  choice,           ///< one of `choices`
  process,          ///< `job manager`, `task manager 2`, `everything`, `host`, `any`
  end,              ///< of a link: `job manager`, `task manager 2`, `client`
  ends,             ///< two of them
  endpoint,         ///< of a message: `client`, `TaskManager`, `Task:0/1`
  message,          ///< the name of a message
  pattern,          ///< `client -> JobManager: TriggerSavepoint`, the name alone, or a mapping
  patterns,         ///< a list of them
  texts,            ///< a list of texts
  words,            ///< the same, or one text that is split at blanks
  settings,         ///< a mapping of configuration keys to values
  json,             ///< any value
  files,            ///< a mapping of names to files
  steps,
  expectations,
  expectation,
  cluster,
  job,
};

/// One key of a mapping.
struct ScenarioField {
  std::string_view name;
  ScenarioValue value = ScenarioValue::text;
  std::string_view about;  ///< for the schema and docs/scenarios.md
  std::vector<std::string_view> choices = {};
};

/// A mapping with these keys. Of a step or expectation: what stands behind its name.
struct ScenarioItem {
  std::string_view name;
  std::string_view about;
  std::vector<ScenarioField> fields;
  std::string_view main =
      {};  ///< the key that is meant if one value stands in place of the mapping
  std::vector<std::string_view> required = {};
  std::vector<std::string_view> one_of = {};  ///< exactly one of these is there
  bool bare = false;                          ///< may stand without any value
};

/// The language of scenario files: from these tables come the parser's checks, the schema and the reference
/// in docs/scenarios.md, so that they agree.
[[nodiscard]] const ScenarioItem& scenario_top();
[[nodiscard]] const ScenarioItem& scenario_cluster();
[[nodiscard]] const ScenarioItem& scenario_job();
[[nodiscard]] const ScenarioItem& scenario_file();
[[nodiscard]] const ScenarioItem& scenario_pattern();
[[nodiscard]] std::span<const ScenarioItem> scenario_steps();
[[nodiscard]] std::span<const ScenarioItem> scenario_expectations();

/// The names of all messages that a trace can show, sorted.
[[nodiscard]] std::vector<std::string> traced_message_names();

/// The JSON Schema (draft 2020-12) of scenario files, as in docs/scenario.schema.json.
[[nodiscard]] std::string scenario_schema();
/// The tables of steps and expectations as Markdown, as in docs/scenarios.md.
[[nodiscard]] std::string scenario_reference();

}  // namespace weir
