#include "cli/program.hpp"

int main(int argc, char** argv) { return weir::run_program(argc, argv); }
