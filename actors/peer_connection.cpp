#include "actors/peer_connection.hpp"

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/network/multiplexer.hpp>

namespace weir {

namespace {

/// BASP tells the actors that a process offers apart by port; ours offers one, and no port is open.
constexpr std::uint16_t job_manager_port = 1;

caf::actor basp_broker(caf::actor_system& system) {
  return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

}  // namespace

void serve_peer(caf::actor_system& system, Socket socket, const JobManagerInterface& job_manager) {
  auto& middleman = system.middleman();
  auto whom = caf::actor_cast<caf::strong_actor_ptr>(job_manager);
  auto signatures = system.message_types(job_manager);
  // CAF's functions are to be copied, which a socket cannot be; from here on CAF owns the descriptor.
  const int descriptor = socket.release();
  middleman.run_later([&middleman, broker = basp_broker(system), descriptor, whom, signatures] {
    caf::anon_send(broker, caf::publish_atom::value, middleman.backend().new_scribe(descriptor),
                   job_manager_port, whom, signatures);
  });
}

Result<JobManagerInterface> connect_peer(caf::actor_system& system, Socket socket,
                                         std::chrono::milliseconds timeout) {
  auto& middleman = system.middleman();
  const auto broker = basp_broker(system);
  auto promise = std::make_shared<std::promise<caf::io::scribe_ptr>>();
  auto made = promise->get_future();
  middleman.run_later([&middleman, promise, descriptor = socket.release()] {
    promise->set_value(middleman.backend().new_scribe(descriptor));
  });
  caf::scoped_actor self{system};
  std::optional<Result<JobManagerInterface>> result;
  self->request(broker, timeout, caf::connect_atom::value, made.get(), job_manager_port)
      .receive(
          [&](caf::node_id&, caf::strong_actor_ptr& actor, std::set<std::string>& offered) {
            const auto wanted = system.message_types<JobManagerInterface>();
            if (actor == nullptr || !std::ranges::includes(offered, wanted))
              result = error(Errc::unavailable,
                             "the process at the other end is of another version of Weir");
            else
              result = caf::actor_cast<JobManagerInterface>(actor);
          },
          [&](caf::error& failed) {
            if (failed == caf::sec::request_timeout)
              result = error(Errc::timed_out, "the process does not answer within " +
                                                  std::to_string(timeout.count()) +
                                                  " ms; it may be stopped");
            else
              result = error(Errc::unavailable, "the process has ended meanwhile");
          });
  return std::move(*result);
}

}  // namespace weir
