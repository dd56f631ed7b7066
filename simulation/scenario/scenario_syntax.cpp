#include "simulation/scenario/scenario_syntax.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "messages/internal.hpp"
#include "state/result.hpp"

namespace weir {
namespace {

using V = ScenarioValue;
using Json = nlohmann::ordered_json;

// ---- what several items have -----------------------------------------------------------------------

const ScenarioField within{"within", V::duration, "the step fails if it takes longer"};
const ScenarioField background{"background", V::flag,
                               "the next step begins before this one has its answer"};
const ScenarioField fails{"fails", V::text,
                          "the answer must be an error whose sentence contains this"};
const ScenarioField may_fail{"may_fail", V::flag, "an error is as good an answer as any"};
const ScenarioField of_snapshot{"of", V::snapshot, "only messages of this step's checkpoint count"};
const ScenarioField form{"type",
                         V::choice,
                         "how the savepoint is written; `canonical` if left out",
                         {"canonical", "native"}};
const ScenarioField message{"message", V::message, "the name of a message, as in traces"};
const ScenarioField from{"from", V::endpoint, "who sends it; anybody if left out"};
const ScenarioField to{"to", V::endpoint, "who takes it; anybody if left out"};
const ScenarioField checkpoint_number{"checkpoint", V::positive, "the number that it names"};
const ScenarioField parallelism{"parallelism", V::positive,
                                "of operators that set none themselves"};
const ScenarioField backend{
    "backend", V::choice, "where state is kept from here on", {"memory", "filesystem", "rocksdb"}};
const ScenarioField more_arguments{"arguments", V::words, "of the job, behind those of `job`"};

ScenarioItem message_fault(std::string_view name, std::string_view about, ScenarioField last) {
  return {name,
          about,
          {{"message", V::pattern, "which message"},
           checkpoint_number,
           {"nth", V::positive, "which one of those sent from here on; the first if left out"},
           std::move(last)},
          "message",
          {"message"}};
}

ScenarioItem savepoint(std::string_view name, std::string_view about) {
  return {name,
          about,
          {{"name", V::name, "by which later steps and expectations mean it"},
           form,
           background,
           fails,
           may_fail,
           within},
          "name",
          {"name"}};
}

std::vector<ScenarioItem> make_steps() {
  auto delay =
      message_fault("delay_message", "Hold a message back.", {"time", V::duration, "how long"});
  delay.required.push_back("time");
  auto repeat = message_fault("repeat_message", "Deliver a message more than once.",
                              {"times", V::positive, "how often it comes again; once if left out"});
  repeat.fields.push_back({"time", V::duration,
                           "how much later it comes again, behind what was sent meanwhile; at once "
                           "if left out"});
  auto stop = savepoint("stop", "Write a savepoint and end the job as FINISHED (`weir stop`).");
  stop.fields.insert(stop.fields.begin() + 2,
                     {"drain", V::flag, "the input ends first, so that everything is emitted"});
  return {
      {"run",
       "Start the job from nothing, and wait until every task runs.",
       {parallelism, backend, more_arguments, background, fails, may_fail, within},
       {},
       {},
       {},
       true},
      {"restore",
       "Start the job from a snapshot, and wait until every task runs. Processes that "
       "were killed are started again.",
       {{"from", V::snapshot,
         "the name of an earlier step's snapshot, or `latest`: the newest "
         "complete one of the job (`weir run -s`)"},
        parallelism,
        backend,
        {"claim", V::flag, "the checkpoint becomes the job's own (`--claimMode CLAIM`)"},
        {"allow_non_restored_state", V::flag, "skip state that belongs to no operator (`-n`)"},
        more_arguments,
        background,
        fails,
        may_fail,
        within},
       "from",
       {"from"}},
      {"wait",
       "Go on as soon as one thing is so.",
       {{"records", V::positive,
         "so many records were taken in by the operator `by`, or sent by the sources together, in "
         "this run of the job"},
        {"by", V::text, "uid of the operator whose records are counted"},
        {"state",
         V::choice,
         "the job is in this state",
         {"created", "running", "restarting", "failing", "failed", "cancelling", "canceled",
          "finished"}},
        {"checkpoints", V::positive, "so many more checkpoints have completed"},
        {"checkpoint", V::positive,
         "the checkpoint of this number has completed in this run of the job"},
        {"output", V::positive, "so many lines are committed"},
        {"message", V::pattern, "such a message is delivered from here on"},
        {"times", V::positive, "how many such messages; 1 if left out"},
        {"time", V::duration, "so much time passes: virtual if simulated, else real"},
        {"answers", V::flag, "every step in the background has its answer"},
        within},
       "state",
       {},
       {"records", "state", "checkpoints", "checkpoint", "output", "message", "time", "answers"}},
      {"checkpoint",
       "Take a checkpoint now (`weir checkpoint`).",
       {{"name", V::name, "by which later steps and expectations mean it"},
        background,
        fails,
        may_fail,
        within},
       "name",
       {},
       {},
       true},
      savepoint("savepoint", "Write a savepoint; the job runs on (`weir savepoint`)."),
      savepoint("cancel_with_savepoint",
                "Write a savepoint and end the job as CANCELED (`weir cancel -s`)."),
      stop,
      {"cancel",
       "End the job as CANCELED, without a savepoint (`weir cancel`).",
       {background, fails, may_fail, within},
       {},
       {},
       {},
       true},
      {"kill",
       "End a process as `kill -9` does.",
       {{"process", V::process,
         "`job manager`, `task manager N`, `everything` (all processes), "
         "`host` (and the disk loses what was not synced), or `any`: one, drawn"},
        {"after_file_operations", V::positive,
         "not now but right after its so many-th file operation from now"},
        within},
       "process",
       {"process"}},
      {"start",
       "Start a process that was killed.",
       {{"process", V::process, "`job manager` or `task manager N`"}, within},
       "process",
       {"process"}},
      {"pause",
       "Let a process do nothing (SIGSTOP).",
       {{"process", V::process, "as of `kill`"},
        {"time", V::duration, "how long; until `resume` if left out"},
        within},
       "process",
       {"process"}},
      {"resume",
       "Let a paused process go on.",
       {{"process", V::process, "as of `pause`"}, within},
       "process",
       {"process"}},
      {"cut",
       "Lose every message between two processes, until `heal`.",
       {{"between", V::ends, "two of `job manager`, `task manager N` and `client`; both ways"},
        {"from", V::end, "one of them, for messages of one way alone ..."},
        {"to", V::end, "... and who does not get them"},
        within},
       "between",
       {},
       {"between", "from"}},
      {"heal",
       "Mend links and disk: the end of `cut`, `fail_io` and `fill_disk`.",
       {within},
       {},
       {},
       {},
       true},
      delay,
      message_fault("drop_message", "Lose a message.",
                    {"times", V::positive, "how many in a row are lost; 1 if left out"}),
      repeat,
      {"corrupt",
       "Damage a snapshot where it lies.",
       {{"snapshot", V::snapshot, "the name of an earlier step's snapshot, or `latest`"},
        {"file",
         V::choice,
         "which file; the largest of its `data` files if left out, or its "
         "`metadata` if that holds everything",
         {"data", "metadata"}},
        {"how",
         V::choice,
         "`flip_bit` if left out",
         {"flip_bit", "zero_block", "truncate", "extend", "remove"}},
        {"at", V::count, "byte of the file; its middle if left out"},
        within},
       "snapshot",
       {"snapshot"}},
      {"fill_disk",
       "Let the disk be full, until `free_disk`.",
       {{"leave", V::size, "bytes that can still be written; 0 if left out"}, within},
       "leave",
       {},
       {},
       true},
      {"free_disk", "Let the disk have room again.", {within}, {}, {}, {}, true},
      {"fail_io",
       "Let file operations fail.",
       {{"operation",
         V::choice,
         "which are counted and fail; any if left out",
         {"create", "append", "sync", "close", "open", "read", "rename", "sync_directory",
          "make_directory", "list", "stat", "remove", "link"}},
        {"error",
         V::choice,
         "how they fail; EIO if left out",
         {"ENOSPC", "EIO", "EINTR", "short_write", "reported_failed", "half_renamed"}},
        {"nth", V::positive, "the first that fails, counted from here; the next one if left out"},
        {"times", V::positive, "how many fail; one if left out"},
        {"always", V::flag, "all fail from there on, until `heal`"},
        within},
       "operation",
       {},
       {},
       true},
      {"slow_disk",
       "Let what a process reads and writes wait; all else that it does goes on.",
       {{"process", V::process, "as of `kill`"}, {"time", V::duration, "how long"}, within},
       "process",
       {"process", "time"}},
      {"clock_jump",
       "Set the wall clock forward or back.",
       {{"by", V::signed_duration, "such as `1 h` or `-30 s`"}, within},
       "by",
       {"by"}},
      {"expect",
       "Look at expectations now, not at the end.",
       {{"expectations", V::expectations, "as of `expect` at the end of the file"}},
       "expectations",
       {"expectations"}},
  };
}

std::vector<ScenarioItem> make_expectations() {
  return {
      {"output",
       "The lines that the job has committed below `${output}`, in any order.",
       {{"is",
         V::choice,
         "`exactly_once`: the lines of the same job when it only runs to its end; `empty`: none",
         {"exactly_once", "empty"}},
        {"lines", V::texts, "these and no others"},
        {"file", V::text, "those of this file, relative to the scenario's"},
        {"contains", V::texts, "these are among them"},
        {"count", V::count, "so many"}},
       "is",
       {},
       {"is", "lines", "file", "contains", "count"}},
      {"state",
       "What a canonical snapshot holds.",
       {{"in", V::snapshot, "the name of a snapshot, or `latest`"},
        {"operator", V::text, "uid of the operator"},
        {"name", V::text, "of the state"},
        {"equals", V::json,
         "keyed state: a mapping from each key to its value; operator state: the list of elements"},
        {"contains", V::json, "the same, of some keys or elements"},
        {"keys", V::count, "how many keys or elements"},
        {"like", V::snapshot, "all keyed state is that of this other snapshot"}},
       {},
       {"in"},
       {"equals", "contains", "keys", "like"}},
      {"messages",
       "Messages that were delivered in this order, with any others between them.",
       {{"in_order", V::patterns, "the messages"}, of_snapshot},
       "in_order",
       {"in_order"}},
      {"message",
       "How often a message was delivered; at least once if no number is given.",
       {{"is", V::pattern, "which message"},
        checkpoint_number,
        of_snapshot,
        {"times", V::count, "so often"},
        {"at_least", V::count, "so often or more"},
        {"at_most", V::count, "so often or less"}},
       "is",
       {"is"}},
      {"declined",
       "A task has declined a checkpoint.",
       {{"reason",
         V::choice,
         "for this reason",
         {"task_not_ready", "task_not_checkpointing", "unknown_task", "subsumed",
          "on_cancellation_barrier", "input_end_of_stream", "snapshot_failed", "limit_exceeded"}},
        {"contains", V::text, "with a sentence that contains this"},
        of_snapshot},
       "reason",
       {},
       {},
       true},
      {"job",
       "How the job is.",
       {{"state",
         V::choice,
         "its state",
         {"created", "running", "restarting", "failing", "failed", "cancelling", "canceled",
          "finished"}},
        {"failure", V::text, "the sentence of its last failure contains this"},
        {"restarts", V::count, "how often it was restarted in this run"},
        {"restored_from", V::snapshot, "what this run began from, or restarted from last"}},
       "state"},
      {"checkpoints",
       "Counters of this run of the job.",
       {{"completed", V::count, "so many have completed"},
        {"at_least", V::count, "so many or more have completed"},
        {"at_most", V::count, "so many or less have completed"},
        {"failed", V::count, "so many have failed"}},
       "completed"},
      {"snapshot",
       "Whether a snapshot can be relied on.",
       {{"name", V::snapshot, "of the snapshot"},
        {"is",
         V::choice,
         "`complete`: every byte verifies (if left out); `damaged`: it does not; `gone`: it is no "
         "longer there",
         {"complete", "damaged", "gone"}}},
       "name",
       {"name"}},
      {"told",
       "An error or a warning that the user has seen contains this.",
       {{"contains", V::text, "words of the sentence"}},
       "contains",
       {"contains"}},
      {"files",
       "Files below `${work}`, committed or not; at least one if no number is given.",
       {{"like", V::text,
         "their path, relative to `${work}`; `*` stands for any characters, also for `/`, and `?` "
         "for one"},
        {"count", V::count, "so many"},
        {"at_least", V::count, "so many or more"},
        {"at_most", V::count, "so many or less"}},
       "like",
       {"like"}},
      {"within",
       "All steps together took no longer.",
       {{"time", V::duration, "virtual if simulated, else real"}},
       "time",
       {"time"}},
      {"not",
       "The opposite of an expectation.",
       {{"expectation", V::expectation, "one of the others"}},
       "expectation",
       {"expectation"}},
  };
}

// ---- schema ------------------------------------------------------------------------------------------

Json reference_to(const char* name) { return {{"$ref", std::string("#/$defs/") + name}}; }

Json schema_of(const ScenarioField& field) {
  const auto list_of = [](Json items) {
    return Json{{"type", "array"}, {"items", std::move(items)}, {"minItems", 1}};
  };
  const auto scalar = [] { return Json{{"type", {"string", "number", "boolean"}}}; };
  switch (field.value) {
    case V::text:
    case V::name:
    case V::snapshot:
      return scalar();
    case V::count:
      return {{"type", "integer"}, {"minimum", 0}};
    case V::positive:
      return {{"type", "integer"}, {"minimum", 1}};
    case V::size:
      return {{"type", {"integer", "string"}},
              {"pattern", "^[0-9]+ *(B|KiB|MiB|GiB)?$"},
              {"minimum", 0}};
    case V::duration:
      return {{"type", {"integer", "string"}},
              {"pattern", "^[0-9]+ *(ms|s|min|h|d)?$"},
              {"minimum", 0}};
    case V::signed_duration:
      return {{"type", {"integer", "string"}}, {"pattern", "^-?[0-9]+ *(ms|s|min|h|d)?$"}};
    case V::flag:
      return {{"type", "boolean"}};
    case V::choice:
      return {{"enum", field.choices}};
    case V::process:
      return {{"type", "string"},
              {"pattern", "^(job manager|task manager [1-9][0-9]*|everything|host|any)$"}};
    case V::end:
      return {{"type", "string"}, {"pattern", "^(job manager|task manager [1-9][0-9]*|client)$"}};
    case V::ends: {
      Json pair = list_of(schema_of({"", V::end, ""}));
      pair["minItems"] = pair["maxItems"] = 2;
      return pair;
    }
    case V::endpoint:
      return {{"type", "string"},
              {"pattern",
               "^(client|JobManager|CheckpointCoordinator|TaskManager(:[0-9]+)?|Task(:[0-9]+/"
               "[0-9]+)?)$"}};
    case V::message:
      return reference_to("message");
    case V::pattern:
      return reference_to("pattern");
    case V::patterns:
      return list_of(reference_to("pattern"));
    case V::texts:
      return {{"type", "array"}, {"items", scalar()}};
    case V::words:
      return {{"oneOf", {Json{{"type", "string"}}, Json{{"type", "array"}, {"items", scalar()}}}}};
    case V::settings:
      return {{"type", "object"}};
    case V::json:
      return Json(true);
    case V::files:
      return {{"type", "object"}, {"additionalProperties", reference_to("file")}};
    case V::steps:
      return list_of(reference_to("step"));
    case V::expectations:
      return list_of(reference_to("expectation"));
    case V::expectation:
      return reference_to("expectation");
    case V::cluster:
      return reference_to("cluster");
    case V::job:
      return reference_to("job");
  }
  WEIR_ASSERT(false);
}

Json schema_of(const ScenarioItem& item) {
  Json properties = Json::object();
  for (const ScenarioField& field : item.fields) {
    Json one = schema_of(field);
    if (one.is_object()) one["description"] = field.about;
    properties[std::string(field.name)] = std::move(one);
  }
  Json schema{
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!item.required.empty()) schema["required"] = item.required;
  if (!item.one_of.empty()) {
    schema["oneOf"] = Json::array();
    for (const std::string_view name : item.one_of)
      schema["oneOf"].push_back({{"required", {name}}});
  }
  return schema;
}

/// A step or expectation: its name alone, or a mapping of it to what `schema_of` says or to one value.
Json schema_of_choice(std::span<const ScenarioItem> items) {
  Json bare = Json::array();
  Json properties = Json::object();
  for (const ScenarioItem& item : items) {
    Json one = schema_of(item);
    Json alternatives = Json::array();
    if (!item.main.empty()) {
      const auto main = std::ranges::find(item.fields, item.main, &ScenarioField::name);
      alternatives.push_back(schema_of(*main));
    }
    if (item.bare) {
      bare.push_back(item.name);
      alternatives.push_back({{"type", "null"}});
    }
    if (!alternatives.empty()) {
      alternatives.push_back(std::move(one));
      one = Json{{"anyOf", std::move(alternatives)}};
    }
    one["description"] = item.about;
    properties[std::string(item.name)] = std::move(one);
  }
  Json mapping{{"type", "object"},
               {"properties", std::move(properties)},
               {"additionalProperties", false},
               {"minProperties", 1},
               {"maxProperties", 1}};
  return {{"anyOf", {Json{{"enum", std::move(bare)}}, std::move(mapping)}}};
}

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string values_of(const ScenarioField& field) {
  switch (field.value) {
    case V::text:
      return "text";
    case V::name:
      return "a name";
    case V::snapshot:
      return "a snapshot's name";
    case V::count:
    case V::positive:
      return "a number";
    case V::size:
      return "a size";
    case V::duration:
    case V::signed_duration:
      return "a duration";
    case V::flag:
      return "`true`";
    case V::choice: {
      std::string all;
      for (const std::string_view choice : field.choices)
        all += (all.empty() ? "" : ", ") + code(choice);
      return all;
    }
    case V::process:
      return "a process";
    case V::end:
      return "a process or `client`";
    case V::ends:
      return "a list of two";
    case V::endpoint:
      return "an actor";
    case V::message:
      return "a message";
    case V::pattern:
      return "a message";
    case V::patterns:
      return "a list of messages";
    case V::texts:
      return "a list of texts";
    case V::words:
      return "words, or a list of them";
    case V::settings:
      return "settings";
    case V::json:
      return "any value";
    case V::files:
      return "files";
    case V::steps:
      return "a list of steps";
    case V::expectations:
      return "a list of expectations";
    case V::expectation:
      return "an expectation";
    case V::cluster:
    case V::job:
      return "a mapping";
  }
  WEIR_ASSERT(false);
}

void append_reference(std::span<const ScenarioItem> items, std::string& text) {
  for (const ScenarioItem& item : items) {
    text += "**" + code(item.name) + "** " + std::string(item.about) + "\n\n";
    if (item.fields.empty()) continue;
    text += "| key | value | |\n| --- | --- | --- |\n";
    for (const ScenarioField& field : item.fields) {
      const bool required = std::ranges::find(item.required, field.name) != item.required.end();
      text += "| " + code(field.name) + (field.name == item.main ? " (short form)" : "") + " | " +
              values_of(field) + " | " + std::string(field.about) +
              (required && field.name != item.main ? "; must be there" : "") + " |\n";
    }
    text += "\n";
  }
}

template <class M>
void add_names(const Envelope<M>&, std::vector<std::string>& names) {
  names.push_back(message_name(M{}));
}
template <class T>
void add_names(const Envelope<Reply<T>>&, std::vector<std::string>& names) {
  names.push_back(message_name(Reply<T>(T{})));
  names.push_back(message_name(Reply<T>(Error{})));
}

}  // namespace

const ScenarioItem& scenario_top() {
  static const ScenarioItem item{
      "scenario",
      "A scenario.",
      {{"scenario", V::text, "its name: a sentence that says what is true if it passes"},
       {"description", V::text, "why that matters, for readers"},
       {"time_limit", V::duration, "all steps together must not take longer; 15 min if left out"},
       {"cluster", V::cluster, "the processes"},
       {"job", V::job, "what they run"},
       {"files", V::files, "what lies in `${work}` before the first step"},
       {"steps", V::steps, "what is done, one after the other"},
       {"expect", V::expectations, "what must be so in the end"}},
      {},
      {"scenario", "job", "steps"}};
  return item;
}

const ScenarioItem& scenario_cluster() {
  static const ScenarioItem item{
      "cluster",
      "The processes.",
      {{"task_managers", V::positive, "how many; 1 if left out"},
       {"slots", V::positive, "of each; as many as the job needs if left out"},
       {"configuration", V::settings, "keys and values as in `weir.yaml`"}}};
  return item;
}

const ScenarioItem& scenario_job() {
  static const ScenarioItem item{
      "job",
      "What they run.",
      {{"library", V::text,
        "a compiled job: beside the scenario file, or below a directory of `--jobs`"},
       {"source", V::text,
        "a job's C++ source instead, which is compiled first; relative to the scenario file"},
       {"arguments", V::words,
        "with `${work}`, `${output}` and `${scenario}`, the scenario file's directory"},
       parallelism,
       {"configuration", V::settings, "of the job; wins over that of the cluster"}},
      {},
      {},
      {"library", "source"}};
  return item;
}

const ScenarioItem& scenario_file() {
  static const ScenarioItem item{
      "file",
      "A file that is there before the first step.",
      {{"text", V::text, "its content"},
       {"lines", V::texts, "its lines"},
       {"copy", V::text, "the content of this file, relative to the scenario's"},
       {"repeat", V::positive, "how often the content stands there; once if left out"},
       {"numbered", V::flag, "each line begins with its number, from 0, and a blank"}},
      "text",
      {},
      {"text", "lines", "copy"}};
  return item;
}

const ScenarioItem& scenario_pattern() {
  static const ScenarioItem item{"pattern",
                                 "Which message is meant.",
                                 {message, from, to, checkpoint_number},
                                 "message",
                                 {"message"}};
  return item;
}

std::span<const ScenarioItem> scenario_steps() {
  static const std::vector<ScenarioItem> items = make_steps();
  return items;
}

std::span<const ScenarioItem> scenario_expectations() {
  static const std::vector<ScenarioItem> items = make_expectations();
  return items;
}

std::vector<std::string> traced_message_names() {
  std::vector<std::string> names;
#define WEIR_ADD_NAMES(Type, name) add_names(Envelope<Type>{}, names);
  WEIR_MESSAGE_LIST(WEIR_ADD_NAMES)
#undef WEIR_ADD_NAMES
  // Within one process, see messages/internal.hpp.
  for (const auto& name : {message_name(AttemptStarted{}), message_name(TaskStateChanged{}),
                           message_name(JobStateChanged{}), message_name(FailJobRequest{}),
                           message_name(SavepointEndsJob{}), message_name(CoordinatorSettled{}),
                           message_name(CheckpointCountsChanged{}), message_name(TaskEnded{})})
    names.push_back(name);
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  return names;
}

std::string scenario_schema() {
  Json schema = schema_of(scenario_top());
  Json file = schema_of(scenario_file());
  file = Json{{"anyOf", {Json{{"type", {"string", "number", "boolean"}}}, std::move(file)}}};
  const Json pattern{
      {"anyOf",
       {reference_to("message"),
        Json{{"type", "object"},
             {"patternProperties", {{"^.+ -> .+$", reference_to("message")}}},
             {"additionalProperties", false},
             {"minProperties", 1},
             {"maxProperties", 1},
             {"description", "`from -> to: message`, where `any` stands for anybody"}},
        schema_of(scenario_pattern())}}};
  Json whole{
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "Weir scenario"},
      {"description", "A cluster, a job, what is done with them and what must be so in the end."}};
  whole.update(schema);
  whole["$defs"] = Json{{"cluster", schema_of(scenario_cluster())},
                        {"job", schema_of(scenario_job())},
                        {"file", std::move(file)},
                        {"message", {{"enum", traced_message_names()}}},
                        {"pattern", pattern},
                        {"step", schema_of_choice(scenario_steps())},
                        {"expectation", schema_of_choice(scenario_expectations())}};
  return whole.dump(2) + "\n";
}

std::string scenario_reference() {
  std::string text = "### Steps\n\n";
  append_reference(scenario_steps(), text);
  text += "### Expectations\n\n";
  append_reference(scenario_expectations(), text);
  return text;
}

}  // namespace weir
