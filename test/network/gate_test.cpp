#include "network/gate.hpp"

#include <future>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "network/private_directory.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Catch::Matchers::Contains;

constexpr auto patience = 10s;

std::string read_all(const Socket& socket) {
  std::string text;
  char buffer[64];
  for (;;) {
    const auto count = ::read(socket.descriptor(), buffer, sizeof buffer);
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

/// A gate that greets whom it lets in and then ends the connection.
Result<std::unique_ptr<Gate>> greeting_gate(GateSettings settings) {
  return Gate::open(std::move(settings), [](Socket peer) {
    [[maybe_unused]] const auto written = ::write(peer.descriptor(), "hello", 5);
    ::shutdown(peer.descriptor(), SHUT_RDWR);
  });
}

GateSettings settings_for(const std::string& path) {
  GateSettings settings;
  settings.path = path;
  settings.user = current_user();
  return settings;
}

}  // namespace

SCENARIO("a gate hands on the connections of its own user", "[network]") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/gate.sock";
  GIVEN("a gate") {
    std::promise<Socket> admitted;
    auto gate =
        Gate::open(settings_for(path), [&](Socket peer) { admitted.set_value(std::move(peer)); });
    REQUIRE(gate);
    THEN("its socket is for nobody else") {
      struct stat found{};
      REQUIRE(::stat(path.c_str(), &found) == 0);
      CHECK((found.st_mode & 0777) == 0600);
    }
    WHEN("another thread connects") {
      auto client = std::async(std::launch::async, [&] { return connect_to(path, patience); });
      Socket server = admitted.get_future().get();
      auto socket = client.get();
      REQUIRE(socket);
      THEN("both ends are connected, and each knows who is there") {
        REQUIRE(::write(server.descriptor(), "x", 1) == 1);
        char byte = 0;
        REQUIRE(::read(socket->descriptor(), &byte, 1) == 1);
        CHECK(byte == 'x');
        CHECK(peer_user(*socket) == current_user());
        CHECK_FALSE(is_hung_up(*socket));
      }
      THEN("stop waits until the peer has left") {
        auto stopped = std::async(std::launch::async, [&] { (*gate)->stop(patience); });
        CHECK(stopped.wait_for(0ms) == std::future_status::timeout);
        server.close();
        socket->close();
        CHECK(stopped.wait_for(patience) == std::future_status::ready);
      }
    }
    WHEN("it stops") {
      (*gate)->stop(patience);
      THEN("its socket is gone") { CHECK(::access(path.c_str(), F_OK) != 0); }
    }
  }
}

TEST_CASE("a gate closes the connections of other users", "[network]") {
  const test::TemporaryDirectory directory;
  auto settings = settings_for(directory.path() + "/gate.sock");
  settings.user = 4711;
  settings.peer_user = [](const Socket&) -> Result<std::uint32_t> { return 4712; };
  const auto gate = greeting_gate(settings);
  REQUIRE(gate);
  const auto socket = connect_to(settings.path, patience);
  REQUIRE(socket);
  CHECK(read_all(*socket).empty());
}

TEST_CASE("a gate closes a connection whose user it cannot tell", "[network]") {
  const test::TemporaryDirectory directory;
  auto settings = settings_for(directory.path() + "/gate.sock");
  settings.peer_user = [](const Socket&) -> Result<std::uint32_t> {
    return error(Errc::io_error, "no");
  };
  const auto gate = greeting_gate(settings);
  REQUIRE(gate);
  const auto socket = connect_to(settings.path, patience);
  REQUIRE(socket);
  CHECK(read_all(*socket).empty());
}

TEST_CASE("a gate lets root in", "[network]") {
  const test::TemporaryDirectory directory;
  auto settings = settings_for(directory.path() + "/gate.sock");
  settings.user = 4711;
  settings.peer_user = [](const Socket&) -> Result<std::uint32_t> { return 0; };
  const auto gate = greeting_gate(settings);
  REQUIRE(gate);
  const auto socket = connect_to(settings.path, patience);
  REQUIRE(socket);
  CHECK(read_all(*socket) == "hello");
}

TEST_CASE("a gate has a bound on its peers", "[network]") {
  const test::TemporaryDirectory directory;
  auto settings = settings_for(directory.path() + "/gate.sock");
  settings.max_peers = 1;
  std::promise<void> first;
  std::vector<Socket> held;
  const auto gate = Gate::open(settings, [&](Socket peer) {
    held.push_back(std::move(peer));
    first.set_value();
  });
  REQUIRE(gate);
  const auto one = connect_to(settings.path, patience);
  REQUIRE(one);
  first.get_future().wait();
  const auto two = connect_to(settings.path, patience);
  REQUIRE(two);
  CHECK(read_all(*two).empty());
  CHECK_FALSE(is_hung_up(*one));
}

TEST_CASE("a gate does not replace a file", "[network]") {
  const test::TemporaryDirectory directory;
  const auto settings = settings_for(directory.path() + "/gate.sock");
  const auto first = greeting_gate(settings);
  REQUIRE(first);
  const auto second = greeting_gate(settings);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::already_exists);
}

TEST_CASE("a path that is too long for a socket is refused by a sentence", "[network]") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/" + std::string(100, 'x') + ".sock";
  const auto listening = listen_at(path, 1);
  REQUIRE_FALSE(listening);
  CHECK(listening.error().code == Errc::invalid_argument);
  CHECK_THAT(listening.error().what, Contains(directory.path()) && Contains("XDG_RUNTIME_DIR"));
  const auto connected = connect_to(path, patience);
  REQUIRE_FALSE(connected);
  CHECK(connected.error().code == Errc::invalid_argument);
}

TEST_CASE("connecting tells a missing socket from a dead one", "[network]") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/gate.sock";
  CHECK(connect_to(path, patience).error().code == Errc::not_found);
  {
    const auto listening = listen_at(path, 1);
  }
  CHECK(connect_to(path, patience).error().code == Errc::unavailable);
}

TEST_CASE("connecting to a process that does not answer times out", "[network]") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/gate.sock";
  const auto listening = listen_at(path, 0);
  REQUIRE(listening);
  std::vector<Socket> waiting;  // fill the queue, whose length the system decides
  for (;;) {
    auto socket = connect_to(path, 1ms);
    if (!socket) {
      CHECK(socket.error().code == Errc::timed_out);
      break;
    }
    REQUIRE(waiting.size() < 100);
    waiting.push_back(std::move(*socket));
  }
}

}  // namespace weir
