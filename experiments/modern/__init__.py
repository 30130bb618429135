"""Does the start still matter once a network has skip connections and normalisation? Several papers, in one study."""
