/* --- fixed time --- */
PLAY(&fixed, "40.",
    "GGGGGxYrrrrrrrrrrrrrrrrrrGGGGGxYrrrrrrrr "
    "rrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrrrrrrrGG "
    "rrrrrrrrGGGxrrrrrrrrGGGxrrrrrrrrrGGGxrrr");
/* greens of the host: none is the minimum, endless the maximum, then its silence */
PLAY(&fixed, "g0 30.",
    "GGxYrrrrrrrrrrrrrrGGxYrrrrrrrr "
    "rrrrrrrrrGGxrrrrrrrrrrrrrrrGGx "
    "rrrrrGGxrrrrrrGGxrrrrrrGGxrrrr");
PLAY(&fixed, "g9 20. L 40.",
    "GGGGGGGGxYrrrrrrrrrrrrrrrrrrrrrrrGGGGGxYrrrrrrrrrrrrrrrrrrGG "
    "rrrrrrrrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrrrrrrrGGGGxrrrrrrrrr "
    "rrrrrrrrrrrGGGGGGGGxrrrrrrrrGGGxrrrrrrrrrGGGxrrrrrrrrGGGxrrr");
/* hold up to the maximum, force off not before the minimum */
PLAY(&fixed, "1. H1 20.",
    "GGGGGGGGxYrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGGx "
    "rrrrrrrrrrrGGGxrrrrrr");
PLAY(&fixed, "1. F1!4 1. F1!4 1. F1 H1!9 20.",
    "GGGxYrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrGGGGxrrrrrrr "
    "rrrrrrGGGxrrrrrrrrGGGxr");
PLAY(&fixed, "1. H1 5. F1 5.",
    "GGGGGGxYrrr "
    "rrrrrrrrrrr "
    "rrrrrrrrrGG");
PLAY(&fixed, "1. H2!9 F2!9 O1!14 R1!14 C9!1 4. H3!9 C3 20.",
    "GGGGGxYrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGxrrrrrrr "
    "rrrrrrrrGGGxrrrrrrrrGGGxr");
/* a call passes over, but not twice */
PLAY(&fixed, "1. C1 20. C1!13 30.",
    "GGGGGxYrrrrrrGGGGGxYrrrrrrrrrrrrrrrrrrGGGGGxYrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrGGGxrrrrrrrrrGGGxrrrrrrrrGGGxrrrrrrrrrGGGxr");
PLAY(&fixed, "1. C2 C3!12 20.",
    "GGGGGxYrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGxrrr "
    "rrrrrrrrGGGxrrrrrrrrG");
/* walk and clearance are whole, a button during the walk is served already, one during the clearance comes next */
PLAY(&fixed, "P2!11 P1 1. P1 1. F1!4 P1 1. F1!10 P1 L 12.",
    "WWcccxYrrrrrrrr "
    "rrrrrrrrrrrrrGG "
    "rrrrrrrrGGGxrrr");
PLAY(&fixed, "P1 1. 3. P1 40.",
    "WWcccxYrrrrrrrrrrrrrrrrrrWWcccxYrrrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrrrrrrrGGGGxr "
    "rrrrrrrrGGGxrrrrrrrrGGGxrrrrrrrrrGGGxrrrrrrr");
PLAY(&fixed, "P1 g0 30.",
    "WWcccxYrrrrrrrrrrrrrrGGxYrrrrr "
    "rrrrrrrrrrrrGGxrrrrrrrrrrrrrrr "
    "rrrrrrrrGGxrrrrrrGGxrrrrrrGGxr");
/* --- rest, gap-out, max-out, delay, locking --- */
PLAY(&pair, "30.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "5. v2 20.",
    "GGGGGGGgYrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGGGGGGGG");
PLAY(&pair, "5. v2 2. v0 10.",
    "GGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrr");
PLAY(&pair, "5. v2 2. v0 1. v2 2. v0 9.",
    "GGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "v1 5. v3 10. v1 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "v1 5. v3 30.",
    "GGGGGGGGGGGGGGGmYrrrrrrrrrrGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrr");
PLAY(&pair, "2. v2 1. v3 3. v2 30.",
    "GGGGGGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&pair, "4. v2 9. v0 1. v1 1. v0 20.",
    "GGGGGGgYrrrrrrrrrrGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrGGGGGGgrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "v3 60.",
    "GGGGGGGGGGmYrrrrrrrrrrGGGGGGGGmYrrrrrrrrrrGGGGGGGGmYrrrrrrrr "
    "rrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrGGGGGGm");
PLAY(&pair, "v2 40.",
    "GGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&pair, "v3 4. v2 6. v0 30.",
    "GGGGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&pair, "v2 12. v1 1. v0 1. ?c1 9. ?c0 3.",
    "GGGgYrrrrrrrrrrrrGGGGGGGGG "
    "rrrrrrGGGGGGGGgrrrrrrrrrrr");
PLAY(&pair, "v2 2. ?c0 1. ?c2 v0 1. ?c0 4.",
    "GGGGGGGG "
    "rrrrrrrr");
/* --- the host of an actuated board --- */
PLAY(&pair, "6. C2 ?c2 20. ?c0",
    "GGGGGGgYrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGGGGGGGGGGGG");
PLAY(&pair, "6. C2 R2 ?c0 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "6. C2 L ?c0 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "6. C1 ?c0 10.",
    "GGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrr");
PLAY(&pair, "v2 1. H1 30.",
    "GGGGGGGGGGGGmYrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrGGGGGGGGGGGGGGGG");
PLAY(&pair, "v2 1. H1 5. R1 10.",
    "GGGGGGgYrrrrrrrr "
    "rrrrrrrrrGGGGGGG");
PLAY(&pair, "v2 1. H1 5. L 10.",
    "GGGGGGgYrrrrrrrr "
    "rrrrrrrrrGGGGGGG");
PLAY(&pair, "v2 1. H1 5. R2 5.",
    "GGGGGGGGGGG "
    "rrrrrrrrrrr");
PLAY(&pair, "3. F1!4 1. F1 ?m2 20.",
    "GGGGfYrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "4. F1 H1!9 1. F1!9 8.",
    "GGGGfYrrrrrrr "
    "rrrrrrrrrrrrr");
PLAY(&pair, "3. O2 v2 60.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfYrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG");
PLAY(&pair, "3. O2 v2 8. R2 10.",
    "GGGGGGGGGGGgYrrrrrrrr "
    "rrrrrrrrrrrrrrGGGGGGG");
PLAY(&pair, "3. O2 v2 8. C2 10.",
    "GGGGGGGGGGGgYrrrrrrrr "
    "rrrrrrrrrrrrrrGGGGGGG");
PLAY(&pair, "3. O2 v2 8. L 10.",
    "GGGGGGGGGGGgYrrrrrrrr "
    "rrrrrrrrrrrrrrGGGGGGG");
PLAY(&pair, "v3 3. g0 20.",
    "GGGmYrrrrrrGGGmYrrrrrrG "
    "rrrrrrGGmrrrrrrrrGGmrrr");
PLAY(&pair, "v3 3. g9 40.",
    "GGGGGGGGGGGGmYrrrrrrrrrrrrGGGGGGGGGGmYrrrrr "
    "rrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrGGGG");
PLAY(&pair, "v3 g4 9. L 30.",
    "GGGGGGmYrrrrrrrrrrGGGGGGGGmYrrrrrrrrrrG "
    "rrrrrrrrrGGGGGGmrrrrrrrrrrrrrGGGGGGmrrr");
PLAY(&pair, "1. C9!1 P1!11 _1!14 P9!1",
    "G "
    "r");
/* --- who comes next: the order of the ring, the host, who waits too long --- */
PLAY(&three, "3. v6 1. v0 40.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&three, "3. v4 1. v0 20.",
    "GGGgrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGG");
PLAY(&three, "3. v6 1. v0 C3 40.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "3. v6 1. v0 C3 3. C1 5. C3!13 C2 30.",
    "GGGgrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "3. v2 1. v0 C3 7. C1 ?c1 30.",
    "GGGgrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "v1 3. v5 1. C3 4. v7 90.",
    "GGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGm "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrr");
PLAY(&three, "1. O2 O3 v7 95.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "1. O2 v6 60. O3 50.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
/* --- two rings, barriers --- */
PLAY(&dual, "20.",
    "GGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "4. v44 1. v0 30.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "4. v4 1. v0 30.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "v20 4. v2 1. v24 30.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGgrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGmrrrrrrrrrGGGGGGGGmrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "v10 2. v14 30. v0 30.",
    "GGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "3. v22 1. v0 20. v88 1. v0 20.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGG "
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGG");
PLAY(&dual, "3. v2 1. v42 12. v0 30.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGmrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "2. vff 90.",
    "GGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmr "
    "rrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmr "
    "rrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "2. v44 1. v0 12. v99 2. v0 50.",
    "GGgrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGgrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "2. v44 1. v0 12. v19 2. v0 50.",
    "GGgrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGgrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "v1 2. v15 5. H1 30. F1!9 F3 9.",
    "GGGGGGGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrGGGGGGm "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGfrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrGGGGGGm "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "3. C3 C5!12 C6!12 C7 30.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&dual, "3. C3 10. v30 3. v0 30.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGgrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
/* --- pedestrians --- */
PLAY(&walks, "3. P1 12.",
    "GGGWWWccGGGGGGG "
    "rrrrrrrrrrrrrrr");
PLAY(&walks, "3. P1 3. P1 9.",
    "GGGWWWccGGGGGGG "
    "rrrrrrrrrrrrrrr");
PLAY(&walks, "3. P1 1. P1 9. P1 9.",
    "GGGWWWccGGGGGWWWccGGGG "
    "rrrrrrrrrrrrrrrrrrrrrr");
PLAY(&walks, "3. P1 2. P2 20.",
    "GGGWWWccgrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrWWcccGGGGGGGGGG");
PLAY(&walks, "3. P2 P1 40.",
    "GGGgrrrrrrrrWWWccGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrWWcccgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&walks, "3. v2 1. P1 v0 20. v1 1. v0 25.",
    "GGGgrWWWccGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&walks, "P2 3. v2 6. F2!10 30.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrWWcccGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&walks, "3. O2 P2 60. O2 P2 3. ?c0 L 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrWWcccGGGGGGGGWWcccGGGGGGGGGGGGGGGGGG");
/* --- recalls --- */
PLAY(&recalls, "80.",
    "GGgrrrrrrrrrrrrrGGgrrrrrrrrrrrrrGGgrrrrrrrrrrrrrGGgrrrrrrrrrrrrrGGgrrrrrrrrrrrrr "
    "rrrrGGGGGmrrrrrrrrrrGGGGGmrrrrrrrrrrGGGGGmrrrrrrrrrrGGGGGmrrrrrrrrrrGGGGGmrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrWWcgrrrrrrrrrrrrWWcgrrrrrrrrrrrrWWcgrrrrrrrrrrrrWWcgrrrrrrrrrrrrWWcgr");
PLAY(&soft, "40.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&soft, "3. v2 1. v0 40.",
    "GGGgrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&soft, "3. v2 3. v0 2. O1 10. L 10.",
    "GGGgrrrrrrrrrrrrrrGGGGGGGGGG "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrr");
/* --- detector faults: the fixed plan's green at every turn --- */
PLAY(&three, "f2 60.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "f1 v2 40.",
    "GGGGGxrrrrrrrGGGGGxrrrrrrrGGGGGxrrrrrrrG "
    "rrrrrrrGGGGmrrrrrrrrGGGGmrrrrrrrrGGGGmrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "f4 v3 60.",
    "GGGGGmrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrGGG "
    "rrrrrrrGGGGmrrrrrrrrrrrrrrGGGGmrrrrrrrrrrrrrrGGGGmrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrr");
PLAY(&three, "f2 1. ?c2 12. f0 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&three, "f7 g9 70.",
    "GGGGGxrrrrrrrrrrrrrGGGGGxrrrrrrrrrrrrrGGGGGxrrrrrrrrrrrrrGGGGGxrrrrrrr "
    "rrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxr "
    "rrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrr");
PLAY(&three, "f2 8. H2 30.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
/* --- overlaps --- */
PLAY(&laps, "6. v2 1. v0 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGG "
    "GGYrrrGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&laps, "6. v4 1. v0 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGGGGGGGGGGGGG "
    "rrrrGGgrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGYrrrrrrrrrrrrrrrrrrrr");
PLAY(&laps, "6. v8 1. v0 20. v1 1. v0 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGGGGGGGGGGGGGGGGGGYrrrrrrrrrrrrrrrrrrrr");
PLAY(&laps, "6. v2 1. v0 4. v8 1. v0 5. v4 1. v0 30.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrGGGGGGGGGGGYYrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGYYrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&laps, "v8 6. v2 1. v0 30. v4 3. v2 30.",
    "rrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGgYrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGmrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGYYrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGGYrrGGYrrrrrrGGGGGGGGGGGGGGGGGGGGYYrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&laps, "6. v6 1. v0 50. va 2. v1 50.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrGGYYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGYYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGYYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&laps, "va 12. vd 60.",
    "rrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrGGGGGmrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrGGGGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrr "
    "GGGGGmrrGGGGGmrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrGGGGG "
    "rrrrrrrrrrrrrrrrGGGGGGGGGGGGYYrrrrrrrrGGGGGYrrrrrrrrrrrrrrrrGGGGGYrrrrrr "
    "GGGGGYrrGGGGGYrrrrrrrrrGGGGGYYrrrrrrrrrrrrrrrGGGGGYrrrrrrrrrrrrrrrrGGGGG");
PLAY(&laps, "4. v2 1. v0 1. i1 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGGGGGGGGGGGGGG "
    "GGYrGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&laps, "6. C2 4. v4 10. v2 C2 30.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGgYrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrGGGGYYrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrGGGGGGYYrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
/* --- preemption --- */
PLAY(&trains, "4. ?p00 i1 1. ?p10 30. ?p20 i0 20. ?p00",
    "GGGGfrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGG "
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrr");
PLAY(&trains, "4. i1 1. i0 60.",
    "GGGGfrrrrrrrrrrrrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&trains, "4. i2 20. ?p02 i0 20.",
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrr");
PLAY(&trains, "4. i2 20. i3 1. ?p11 40. ?p21 i2 20. ?p02 i0 9.",
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGgrrrrrrrr");
PLAY(&trains, "4. i1 9. i3 30. i0 40.",
    "GGGGfrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&trains, "3. P1 2. i1 30. i0 40.",
    "GGGWWccfrrrrrrrrrrrrrrGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&trains, "3. P1 4. i1 12.",
    "GGGWWWccfrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGG "
    "GGGGGGGfrrrrrrrrrrr");
PLAY(&trains, "3. P1 1. i2 30.",
    "GGGWccfrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&trains, "2. H3 H1 C2 O2 v2 i1 1. H1!23 C2!23 F1!23 R1!23 O1!23 P1 50. i0 40.",
    "GGGfrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrWWWccgrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrGGGGGGGGGGGGGGGGGGGGG "
    "GGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&trains, "3. F1!4 1. F1 i2 20.",
    "GGGGfrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGG");
PLAY(&trains, "i1 40. v7 30. i0 60.",
    "rrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrr "
    "GGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrr");
/* --- another table --- */
CHANGE(&pair, &fixed, "4. T ?m3 20. ?m2 P1 20.",
    "GGGGfYrrGGGGGxYrrrrrrrrrrrrrrrrrrWWcccxYrrrr "
    "rrrrrrrrrrrrrrrrrrrrrGGGGxrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGxrrrrrrrrGGGxrrrrrrrrrGGG");
CHANGE(&fixed, &pair, "4. T H1!8 30.",
    "GGGGxYrrGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
CHANGE(&pair, &walks, "v2 5. T C2!8 P1!11 30.",
    "GGGgYrrGGgrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGG");
CHANGE(&walks, &pair, "P1 1. T 30.",
    "WWWccfrrGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
CHANGE(&walks, &pair, "1. H1 C2 T 1. T 30.",
    "GGfrrGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
CHANGE(&trains, &pair, "4. i1 3. T ?m3 1. ?m2 40. ?m2 i0 40.",
    "GGGGfrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
CHANGE(&trains, &pair, "4. T 1. ?m3 i2 1. ?m2 30. i0 40.",
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
CHANGE(&laps, &walks, "6. T 12.",
    "GGgrrrrrrrGGGGGGGG "
    "rrrrrrrrrrrrrrrrrr");
CHANGE(&laps, &walks, "6. v2 3. T 12.",
    "GGgrrrrrrrrrrGGgrrrrr "
    "rrrrrrGGGfYrrrrrrGGGG");
/* --- what a row's own time is worth: longest red --- */
PLAY(&pair, "1. O2 v3 70. O2 v2 30.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfYrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&pair, "1. O2 v3 52. C1!13 O2!13 O1 R1 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfYrrrrrrrrrrGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrr");
PLAY(&three, "1. v1 C2 1. v7 20. O3 40. C3 40.",
    "GGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGG "
    "rrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrr");
PLAY(&three, "v1 2. v7 4. H1 9. C3 9. C1 9. C3 9. C1 30.",
    "GGGGGGGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGG "
    "rrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrGGGGGGmrrr");
PLAY(&dual, "v44 4. v4c 3. O4 O8 v55 70. vff 30.",
    "GGgrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrr "
    "rrrrGGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGfrrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrGGGGGGmr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGgrrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGmrrrrrrrrr "
    "rrrrGGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrGGGGGGmrrrrrrrrrrrrrrrrrrrGGGGGGmr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&walks, "1. O2 H1 P2 v1 70.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrWWcccgrrrrrrrrrrrrrrrrr");
/* --- a ring without rows, a table without any --- */
PLAY(&alone, "?c0 30.",
    "GGGxrrrrrrGGGxrrrrrrGGGxrrrrrr "
    "rrrrrGGGxrrrrrrGGGxrrrrrrGGGxr");
PLAY(&alone, "1. C1 H1 20. C2 C1 20.",
    "GGGGGGGGxrGGGxrrrrrrGGGxrGGGxrrrrrrGGGxrr "
    "rrrrrrrrrrrrrrrGGGxrrrrrrrrrrrGGGxrrrrrrG");
CHANGE(&empty, &empty, "5. ?m0 T ?m0 5.", "");
CHANGE(&pair, &empty, "3. T 20. ?m0 3.", "");
CHANGE(&empty, &pair, "3. T ?m0 1. ?m1 9. ?m2",
    "***rGGGGGGGGG "
    "***rrrrrrrrrr");
PLAY(&lap, "4. v2 1. v0 9. v4 1. v0 9. v1 1. v0 9.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrGGGGGGGG "
    "rrrrrrGGGGGGGGgrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGGGGGGgrrrrrrrrr "
    "GGGGGGGGGGGGGGYrrrrrrrrrrrGGGGGGGG");
PLAY(&lap, "4. v6 1. v0 20. v3 1. v0 20.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrr "
    "rrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGG "
    "rrrrrrrrrrGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGYrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGG");
PLAY(&lap, "3. P1 1. i2 20. i0 9.",
    "GGGWWWccGGGGGGGGGGGGGGGGgrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrr");
PLAY(&lap, "3. v2 9. v0 i3 20. i1 20. i0 9.",
    "GGGgrrrrrrrrrrGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGfrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&lap, "4. v2 1. v0 C3 4. C1 9. O2 9.",
    "GGGGgrrrrrGGGGGGGGGGGGGGGGG "
    "rrrrrrGGgrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGYrGGGGGGGGGGGGGGGGG");
PLAY(&recalls, "1. ?c2 4. ?c1 9. ?c3 9.",
    "GGgrrrrrrrrrrrrrGGgrrrr "
    "rrrrGGGGGmrrrrrrrrrrGGG "
    "rrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrWWcgrrrrrrrr");
PLAY(&walks, "3. P1 4. P1 2. P1 9.",
    "GGGWWWccWWWccGGGGG "
    "rrrrrrrrrrrrrrrrrr");
PLAY(&onesided, "3. v2 1. v0 20. v4 1. v0 20.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "GGGgrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&onesided, "3. va 1. v0 12. v5 1. v0 3. v5 30.",
    "GGGgrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGgrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&onesided, "3. v8 1. v0 5. P3 20. v1 1. v0 30.",
    "GGGgrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGgrrrrrrrrrWWccGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&onesided, "1. v3 30. ve 30.",
    "GGGGGGmrrrrrrrrGGGGGmrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrGGGGGmrrrrrrrrGGGGGmrrrrrGGGGGmrGGGGGmrrrrrrrrGGGGGmr "
    "GGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrGGGGGmr");
PLAY(&onesided, "1. O4 H3 v6 1. P3 40. v9 30.",
    "GGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrGGGGGmrrrrrrrrGGGGGmrrrrrrrrGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGGmrrrrrrrrWWccGmrrrrrrrrGGGGGmrrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
/* --- rings that overlap in time, waits, clearances that overlap --- */
/* a row begins while the other ring's is green or clears */
PLAY(&beside, "26.",
    "GGGGGxrrrrrrrGGGGGxrrrrrrr "
    "rrrrrrrGGGGxrrrrrrrrGGGGxr "
    "GGGxrrrrrrrrrGGGxrrrrrrrrr "
    "rrrrrGGGxrrrrrrrrrGGGxrrrr");
/* an overlap that was carried ends late: the row that is overdue waits for its clearance */
PLAY(&lap, "1. O3 v4 61. v6 4. v2 10.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrGGGGGGG");
/* overdue comes before the ring's order */
PLAY(&three, "1. O3 v4 57. v6 3. v2 20.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrr");
/* a fault elsewhere does not lengthen what the host shortened */
PLAY(&three, "f4 g4 v3 40.",
    "GGGGmrrrrrrrrrrrrrGGGGmrrrrrrrrrrrrrGGGG "
    "rrrrrrGGGGmrrrrrrrrrrrrrGGGGmrrrrrrrrrrr "
    "rrrrrrrrrrrrGGGGxrrrrrrrrrrrrrGGGGxrrrrr");
/* no gap at all while a vehicle is there */
PLAY(&brief, "v1 3. v3 2. v2 20.",
    "GGGGGgrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrGGGGGGGGGGGGGGGGGG");
/* a parent turns green within the overlap's yellow or red: red comes first */
PLAY(&laps, "8. v4 1. v2 1. v0 20.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrGGgYrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrGGGGGGGGGGGGGGGG "
    "rrrrGGGGgrrrrrrrrrrrrrrrrrrrrr "
    "GGYrrrrrrGGYYrrrrrrrrrrrrrrrrr "
    "rrrrGGGGYrGYYrrrrrrrrrrrrrrrrr");
PLAY(&laps, "6. v4 1. v0 8. v2 1. v0 6. v4 1. v8 4. v0 10.",
    "GGgrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrGGGGGgYrrrrrrrrrrrrr "
    "rrrrrrrrrGGGGGGgrrrrrrrrrrrrrrGGGGGGG "
    "rrrrGGgrrrrrrrrrrrrrrrrGGGGgrrrrrrrrr "
    "GGYrrrrrrrrrrrrrrGGGGGYYrrrrrrrrrrrrr "
    "rrrrGGYrrrrrrrrrrGGGGGYYrGGYrrrrrrrrr");
/* called until the rows of the dwell are green */
PLAY(&trains, "4. i1 13. ?p10 1. ?p10 1. ?p10 1. ?p20 3.",
    "GGGGfrrrrrrrrrrrrrrGGGG "
    "rrrrrrGGGGGGGGGGGfrrrrr "
    "GGGGfrrrrrrrrrrrrrrrrrr");
/* every row in the way of every other: one ring after the other */
PLAY(&stages, "vf 56.",
    "GGGGGmrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrGGGGGmrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrGGGGGmrrrrrrrrrrrrrrrrrrrrrrGGGGGmr");
/* it never holds for a row that waits for this very green */
PLAY(&stages, "3. v4 1. v0 9. v1 1. v0 9. v8 1. v0 9.",
    "GGgrrrrrrrrrrrrGGGGGGGGgrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGgrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGG");
/* after yellow comes red, whatever the table says */
PLAY(&single, "12.",
    "GGGxrGGGxrGG");
PLAY(&unclear, "1. C1 15.",
    "GGGxrGGGxrrrrGGG "
    "rrrrrrrrrGGGxrrr");
/* an input that comes again and again: who waits is overdue, and the wait stops being counted at the longest red */
PLAY(&pulses, "v2 i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. i0 1. i1 2. ?w1=16 i0 9. ?w1=0",
    "GGgrGgrGgrGgrGgrGgrGgrGgrGgrGfrGfrGfrGfrGfrGfrGfrGfrGfrGfrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG");
/* what the host asked is void when it falls silent, and when another table comes, in both rings */
PLAY(&dual, "C2!8 1. C7 C3 ?c44 L ?c0", "G r r r G r r r");
CHANGE(&dual, &pair, "1. C7 C3 ?c44 T ?c0", "G r r r G r r r");
/* the first row is not passed over twice either */
PLAY(&alone, "6. C2 5. C2!13 9.",
    "GGGxrrrrrrrrrrrGGGxr "
    "rrrrrGGGxrGGGxrrrrrr");
/* --- what mutants of the core showed to be untested --- */
/* a call passes over those between, no others */
PLAY(&trio, "1. C3 5. C2 12.",
    "GGGxrrrrrrrrrrrrrr "
    "rrrrrrrrrrGGGxrrrr "
    "rrrrrGGGxrrrrrrGGG");
/* who waits first goes first */
PLAY(&contend, "24.",
    "GGGGGxrrrrrrrrrrrrGGGGGx "
    "rrrrrrrrrrrrGGGGxrrrrrrr "
    "GGGxrrrrrrrrrrrrrrGGGxrr "
    "rrrrrrrGGGxrrrrrrrrrrrrr");
/* every green has a gap of its own */
PLAY(&pair, "3. C2 1. v1 12.",
    "GGGgYrrrrrrrGGGG "
    "rrrrrrGGGgrrrrrr");
CHANGE(&lap, &walks, "4. v2 1. T v0 8.",
    "GGGGgrrrGGGGG "
    "rrrrrrrrrrrrr");
/* a soft recall of another row than the first */
PLAY(&rests, "12.",
    "GGgrrrrrrrrr "
    "rrrrGGGGGGGG");
/* the first row may be overdue, too */
PLAY(&pair, "v2 8. O1 v1 60.",
    "GGGgYrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGG "
    "rrrrrrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGfrrrrrrrrrrr");
/* a delay begins anew behind a green */
PLAY(&pair, "v2 7. C1 5. ?c1 1. ?c1 1. ?c1 1. ?c1 1. ?c2 3.",
    "GGGgYrrrrrrrrrrGGGg "
    "rrrrrrGGGGGGmrrrrrr");
/* a maximum counts from the call that is still there */
PLAY(&pair, "v1 2. v3 6. v1 4. v3 20.",
    "GGGGGGGGGGGGGGGGGGGGGGmYrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGm");
/* overdue in the very step in which the ring could go on to the next parent */
PLAY(&lap, "1. O3 v4 60. v6 4. v2 11.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrGGGGGGG");
/* a fault gives the fixed plan's green though the host asks for less */
PLAY(&three, "f1 g3 v3 20.",
    "GGGGGxrrrrrrGGGGGxrr "
    "rrrrrrrGGGmrrrrrrrrG "
    "rrrrrrrrrrrrrrrrrrrr");
/* who is to cross the barrier waits no longer than its largest maximum */
PLAY(&dual, "2. v35 23.",
    "GGGGGGGGGGGGGGmrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGmrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrGGGGGGGGmrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrr");
/* a ring that was passed goes on where it was */
PLAY(&stages, "3. v4 1. v0 9. v1 1. v0 9. vc 1. v0 10.",
    "GGgrrrrrrrrrrrrGGGGGGGGgrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrGGGGGGGGGgrrrrrrrrrrrrrrrGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrr");
/* a force-off is void when a train comes */
PLAY(&trains, "4. F3 i2 9.",
    "GGGGfrrrrrrrr "
    "rrrrrrrrrrrrr "
    "GGGGGGGGGGGGG");
/* afterwards every row that there is is called */
PLAY(&trains, "4. i1 1. i0 26. ?c2 1.",
    "GGGGfrrrrrrrrrrrrrrGGGGGGGGGGGgr "
    "rrrrrrGGGGGGGGGGGfrrrrrrrrrrrrrr "
    "GGGGfrrrrrrrrrrrrrrrrrrrrrrrrrGG");
/* an input that is no preempt's */
PLAY(&trains, "4. i4 9.",
    "GGGGGGGGGGGGG "
    "rrrrrrrrrrrrr "
    "GGGGGGGGGGGGG");
/* the same in the second ring, with the last overlap */
PLAY(&second, "4. v2 1. v0 9. v4 1. v0 9. v1 1. v0 9.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrGGGGGGGG "
    "rrrrrrGGGGGGGGgrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrGGGGGGGGgrrrrrrrrr "
    "GGGGGGGGGGGGGGYrrrrrrrrrrrGGGGGGGG");
PLAY(&second, "4. v6 1. v0 20. v3 1. v0 20.",
    "GGGGgrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrr "
    "rrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGG "
    "rrrrrrrrrrGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGYrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGG");
PLAY(&second, "3. P1 1. i2 20. i0 9.",
    "GGGWWWccGGGGGGGGGGGGGGGGgrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrr");
PLAY(&second, "3. v2 9. v0 i3 20. i1 20. i0 9.",
    "GGGgrrrrrrrrrrGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrGGGGGGGfrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGGGGGGGGGGGGGGGGGG "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&second, "4. v2 1. v0 C3 4. C1 9. O2 9.",
    "GGGGgrrrrrGGGGGGGGGGGGGGGGG "
    "rrrrrrGGgrrrrrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrr "
    "GGGGGGGGYrGGGGGGGGGGGGGGGGG");
PLAY(&second, "1. O3 v4 61. v6 4. v2 10.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrGGGGGGG");
PLAY(&second, "1. O3 v4 60. v6 4. v2 11.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGgrrrrrrrrrrrrrr "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrGGgrrrrrrrr "
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGYrrrrrGGGGGGG");
/* what lies behind the rows of a table counts for nothing */
PLAY(&beyond, "40.",
    "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&beyond, "3. v2 1. v0 40.",
    "GGGgrGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG "
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
PLAY(&beyond, "3. v2 3. v0 2. O1 10. L 10.",
    "GGGgrrrrrrrrrrrrrrGGGGGGGGGG "
    "rrrrrGGgrrrrrrrrrrrrrrrrrrrr");
