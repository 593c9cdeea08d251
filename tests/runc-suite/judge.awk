# Reads `differences` and then what bats printed (TAP) for -v file; prints a line per test. -v
# log_file is where it is.

function report(verdict, name, reason) {
    printf "%-5s %s/%s%s\n", verdict, file, name, reason == "" ? "" : ": " reason
}

BEGIN { FS = "\t" }

FILENAME == ARGV[1] {
    if ($1 == file) {
        when[$2] = $3
        why[$2] = $4
    }
    next
}

/^1\.\.[0-9]+/ { planned = substr($0, 4) }

/^(not )?ok [0-9]+ / {
    run++
    good = /^ok/
    name = $0
    sub(/^(not )?ok [0-9]+ /, "", name)
    reason = ""
    if (match(name, / # skip.*/)) {
        reason = substr(name, RSTART + 8)
        sub(/ # skip.*/, "", name)
    }
    sub(/ +$/, "", name)
    if (reason != "") report("skip", name, reason)
    else if (good && when[name] == "always") report("FAIL", name, "passes although it is among the differences: " why[name])
    else if (good) report("ok", name)
    else if (name in when) report("skip", name, why[name])
    else report("FAIL", name, "see " log_file)
}

END { if (run != planned || planned == "") report("FAIL", "all", run + 0 " of " planned + 0 " tests ended: see " log_file) }
