#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/codec.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// How an edge deals the records of the producer's subtasks out to the consumer's.
enum class Partitioning : std::uint8_t {
  forward,    ///< subtask i to subtask i; equal parallelism; may be chained
  hash,       ///< by key group, to the subtask that owns it
  rebalance,  ///< round-robin over all subtasks, by batch
  broadcast   ///< every record to every subtask
};
WEIR_ENUM(Partitioning, forward, hash, rebalance, broadcast)

/// One operator as the client describes it and the TaskManagers check it.
struct OperatorDescription {
  std::string uid;
  bool generated_uid = false;
  std::string name;
  std::uint32_t parallelism = 1;
  std::uint32_t max_parallelism = 128;
  bool max_parallelism_set = false;  ///< by the user: a snapshot with another one is refused
  bool source = false;
  bool stateful = false;                 ///< may keep state
  bool transactional = false;            ///< commits output on NotifyCheckpointComplete
  std::string output_directory;          ///< that it writes to, absolute; empty: none
  std::vector<StateDeclaration> states;  ///< those known without running the function
  bool operator==(const OperatorDescription&) const = default;
};
WEIR_FIELDS(OperatorDescription, uid, generated_uid, name, parallelism, max_parallelism,
            max_parallelism_set, source, stateful, transactional, output_directory, states)

/// One edge; operators are indices into `PlanDescription::operators`.
struct EdgeDescription {
  std::uint32_t producer = 0;
  std::string output_tag;  ///< empty for the main output
  std::uint32_t consumer = 0;
  std::uint32_t input = 0;  ///< which input of the consumer
  Partitioning partitioning = Partitioning::forward;
  Schema schema;  ///< of the records
  bool operator==(const EdgeDescription&) const = default;
};
WEIR_FIELDS(EdgeDescription, producer, output_tag, consumer, input, partitioning, schema)

/// A job's plan without its code: what the client sends and the JobManager schedules from.
struct PlanDescription {
  std::vector<OperatorDescription> operators;  ///< in topological order: producers first
  std::vector<EdgeDescription> edges;
  bool operator==(const PlanDescription&) const = default;
};
WEIR_FIELDS(PlanDescription, operators, edges)

/// XXH3-64 of the encoded description: a TaskManager that built another plan from the same library and
/// arguments finds out before any operator runs.
[[nodiscard]] std::uint64_t plan_hash(const PlanDescription& plan);

/// One vertex of the job graph: operators that run in one task, connected by forward edges.
struct JobVertex {
  std::vector<std::uint32_t> operators;  ///< indices into the plan, head first, topological
  std::uint32_t parallelism = 1;
  std::uint32_t max_parallelism = 128;
  bool source = false;  ///< its head is a source
  std::string name;     ///< for people: the operators' names joined by " -> "
};

/// The plan cut into vertices. Deterministic: every process cuts the same plan alike.
struct JobGraph {
  std::vector<JobVertex> vertices;            ///< in topological order
  std::vector<std::uint32_t> vertex_of;       ///< by operator index
  std::vector<std::uint32_t> exchange_edges;  ///< indices of edges that cross vertices
};
/// Chains forward edges whose consumer has no other input and the same parallelism.
[[nodiscard]] JobGraph build_job_graph(const PlanDescription& plan);

/// Checks a plan: unique uids, edges within range and pointing forward, equal parallelism on forward
/// edges, parallelism from 1 to the maximum, maximum up to `max_key_groups`.
/// Errors: `invalid_argument` naming operator and mend.
[[nodiscard]] Status check_plan(const PlanDescription& plan);

}  // namespace weir
