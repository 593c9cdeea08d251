# Judges one program by what it printed (TAP) and by -v status, its exit status.
# Prints nothing where it passed, "skip: why" where it skipped all of itself, else why it
# failed. -v name is the program's name.

/^Bail out!/ { bailed = $0 }

/^not ok/ {
    failed++
    if (failed == 1) first = $0
}

/^ok/ { passed++ }

/^ok .*# SKIP/ {
    skipped++
    sub(/^.*# SKIP */, "")
    why = $0
}

# Some programs print several plans, one after another.
/^1\.\.[0-9]+/ {
    planned = 1
    plan += substr($0, 4)
}

# The diagnostics are JSON, one key a line. The hook programs plan no test and show a
# failure only here; elsewhere an "error" may be just what the test wanted.
/^ *"error": "[^"]/ {
    if (error == "") {
        error = $0
        sub(/^ *"error": "/, "", error)
        sub(/"$|\\n.*/, "", error)
    }
}

# A container whose own checks never ran.
/^ *"stdout": ""/ { silent = 1 }

END {
    tests = passed + failed
    if (status == 124 || status == 137) print "did not end in time"
    else if (bailed != "") print bailed
    else if (failed > 0) print failed " of " tests " failed, first: " first
    else if (status != 0) print "exit status " status
    else if (silent) print "the container printed nothing"
    # These two want `create` to fail, and print only if it does not.
    else if (name ~ /^process_(rlimits|capabilities)_fail$/ && NR == 0) exit
    else if (!planned) print "printed no plan"
    else if (plan != tests) print plan " tests planned, " tests " run"
    else if (plan == 0 && error != "") print error
    else if (tests > 0 && skipped == tests) print "skip: " why
}
