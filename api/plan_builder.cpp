#include "api/plan_builder.hpp"

#include <algorithm>
#include <utility>

#include "storage/uri.hpp"

namespace weir {

std::string PlanBuilder::absolute(const std::string& path) {
  if (path.empty()) return path;
  auto parsed = parse_path(path, working_directory_);
  if (parsed) return std::move(*parsed);
  if (!path_error_) path_error_ = std::move(parsed.error());
  return path;
}

std::uint32_t PlanBuilder::add_operator(OperatorSpec spec) {
  spec.output_directory = absolute(spec.output_directory);
  operators_.push_back(std::move(spec));
  return static_cast<std::uint32_t>(operators_.size() - 1);
}

void PlanBuilder::connect(const std::vector<Upstream>& upstream, std::uint32_t consumer,
                          std::uint32_t input, const Schema& schema,
                          const std::function<std::unique_ptr<AnyBatch>()>& make_batch) {
  for (const Upstream& one : upstream) edges_.push_back({one, consumer, input, schema, make_batch});
}

Result<Plan> PlanBuilder::build(std::uint32_t parallelism,
                                std::optional<std::uint32_t> max_parallelism) const {
  if (operators_.empty())
    return error(Errc::invalid_argument,
                 "the job has no operator; begin with a source such as env.read_text(...)");
  Plan plan;
  for (std::size_t i = 0; i < operators_.size(); ++i) {
    const OperatorSpec& spec = operators_[i];
    PlanOperator& op = plan.operators.emplace_back();
    op.make = spec.make;
    op.check_input = spec.check_input;
    OperatorDescription& description = op.description;
    description.generated_uid = spec.uid.empty();
    description.uid = spec.uid.empty() ? "generated-" + std::to_string(i) : spec.uid;
    description.name = spec.name;
    description.parallelism = spec.parallelism.value_or(parallelism);
    const auto max = spec.max_parallelism ? spec.max_parallelism : max_parallelism;
    description.max_parallelism_set = max.has_value();
    description.max_parallelism = max.value_or(default_max_parallelism(description.parallelism));
    description.source = spec.source;
    description.stateful = spec.stateful;
    description.transactional = spec.transactional;
    description.output_directory = spec.output_directory;
  }
  for (const EdgeSpec& spec : edges_) {
    const Upstream& from = spec.upstream;
    PlanEdge& edge = plan.edges.emplace_back();
    edge.description = {from.producer, from.tag,          spec.consumer,
                        spec.input,    from.partitioning, spec.schema};
    edge.make_writer =
        from.partitioning == Partitioning::forward ? from.make_forward : from.make_writer;
    edge.make_batch = spec.make_batch;
    const bool shared =
        std::ranges::count_if(edges_, [&](const EdgeSpec& other) {
          return other.upstream.producer == from.producer && other.upstream.tag == from.tag;
        }) > 1;
    if (shared && !spec.make_batch()->copyable())
      return error(Errc::invalid_argument,
                   "the records of operator '" + operators_[from.producer].name +
                       "' cannot be copied and have several consumers; give them one, or make "
                       "their type copyable");
    const bool equal = plan.operators[from.producer].description.parallelism ==
                       plan.operators[spec.consumer].description.parallelism;
    if (from.partitioning == Partitioning::forward && !equal) {
      edge.description.partitioning = Partitioning::rebalance;
      edge.make_writer = from.make_rebalance;
    }
  }
  const PlanDescription description = plan.describe();
  WEIR_TRY(check_plan(description));
  for (const std::uint32_t e : build_job_graph(description).exchange_edges) {
    if (plan.edges[e].make_writer) continue;
    const EdgeDescription& edge = description.edges[e];
    return error(Errc::invalid_argument, "the records from operator '" +
                                             description.operators[edge.producer].name + "' to '" +
                                             description.operators[edge.consumer].name +
                                             "' go from task to task and are not described; "
                                             "describe their type with WEIR_FIELDS, or give both "
                                             "operators one parallelism");
  }
  return plan;
}

}  // namespace weir
